// The data of GET /api/v1/websocket/diagnostics, fetched every few seconds: a table of connections, and the last 15 minutes.

import { History } from "./history.js";
import { count, duration, element, figure, setText, words } from "./page.js";

const INTERVAL = 5_000;
/** An answer older than this is not shown as live. */
const FRESH = 15_000;

/** Fetches the diagnostics repeatedly until it is stopped. */
export class Diagnostics {
    #session;
    #listener;
    #timer = null;
    #isStopped = false;
    /** The pending request. */
    #asking = null;

    /** The restaurant; empty for all of them. */
    restaurant = "";
    /** The last answer and its time. */
    report = null;
    answeredAt = null;
    /** When requests began to fail; null while they succeed. */
    lostAt = null;
    /** Why requests fail, as a sentence. */
    problem = "";
    /** The data of the charts. */
    history = new History();

    /** `listener` is called after each answer, and after a failure with the Refusal. */
    constructor(session, listener) {
        this.#session = session;
        this.#listener = listener;
    }

    get isFresh() { return this.lostAt === null && this.answeredAt !== null && Date.now() - this.answeredAt < FRESH; }

    /** Changes the restaurant and forgets the data of the last one. Throws a Refusal that a retry would not change. */
    async choose(restaurant) {
        this.restaurant = restaurant;
        this.report = null;
        this.answeredAt = null;
        this.history.clear();
        await this.#asking;
        const refusal = await this.poll();
        if (refusal && !refusal.isPassing) throw refusal;
    }

    stop() {
        this.#isStopped = true;
        clearTimeout(this.#timer);
    }

    get path() {
        return "/api/v1/websocket/diagnostics" + (this.restaurant ? `?restaurant_id=${this.restaurant}` : "");
    }

    /** Fetches now and repeatedly from then on. Resolves to the Refusal, or null. */
    poll() {
        this.#asking ??= this.#ask().finally(() => { this.#asking = null; });
        return this.#asking;
    }

    async #ask() {
        clearTimeout(this.#timer);
        const restaurant = this.restaurant;
        let refusal = null;
        try {
            // The whole history each time: it is short, and the page then never shows more than the server sent.
            const { body } = await this.#session.get(`${this.path}${restaurant ? "&" : "?"}history=true`);
            if (restaurant === this.restaurant) this.#take(body);
        } catch (error) {
            refusal = error;
            this.lostAt ??= Date.now();
            this.problem = error.message;
        }
        if (this.#isStopped || restaurant !== this.restaurant) return null;
        this.#timer = setTimeout(() => this.poll(), INTERVAL);
        this.#listener(refusal);
        return refusal;
    }

    #take(body) {
        this.report = body;
        this.answeredAt = Date.now();
        this.lostAt = null;
        this.history.take(body);
    }

    /** Restaurants with their connections, of all nodes together. */
    get restaurants() {
        const restaurants = new Map();
        for (const node of this.report ? [this.report, ...this.report.nodes] : []) {
            for (const { restaurant_id: id, head, connection_count: number, connections } of node.restaurants) {
                const entry = restaurants.get(id) ?? { id, head: null, count: 0, connections: [] };
                entry.head = Math.max(entry.head ?? 0, head ?? 0);
                entry.count += number;
                entry.connections.push(...connections);
                restaurants.set(id, entry);
            }
        }
        return [...restaurants.values()];
    }
}

/** A table of connections, by restaurant if there are several, in `container`. */
export class ConnectionTable {
    #rows = new Map();
    #container;
    #names;
    #own;
    #close;

    /** `names` are the restaurants' names, `own` the id of this page's connection; `close` is called with a connection to close. */
    constructor(container, { names, own, close }) {
        this.#container = container;
        this.#names = names;
        this.#own = own;
        this.#close = close;
    }

    show(restaurants) {
        const focused = document.activeElement;
        const seen = new Set();
        const parts = [];
        for (const restaurant of restaurants) {
            if (restaurants.length > 1) parts.push(this.#heading(restaurant));
            for (const connection of [...restaurant.connections].sort(byAge)) {
                seen.add(connection.id);
                parts.push(this.#row(connection));
            }
            const hidden = restaurant.count - restaurant.connections.length;
            if (hidden > 0) parts.push(this.#wide(`and ${count(hidden, "more connection")}`, "hint"));
        }
        if (parts.length === 0) parts.push(this.#wide("No tablet is connected.", "hint"));
        for (const id of this.#rows.keys()) if (!seen.has(id)) this.#rows.delete(id);
        const before = [...this.#container.children];
        if (before.length !== parts.length || parts.some((part, place) => part !== before[place])) {
            this.#container.replaceChildren(...parts);
            if (focused?.isConnected && focused !== document.activeElement) focused.focus();
        }
    }

    #wide(text, kind) {
        return element("tr", { class: kind }, element("td", { colspan: "8" }, text));
    }

    #heading(restaurant) {
        const name = element("a", { href: `#${restaurant.id}` }, this.#names(restaurant.id));
        return element("tr", { class: "group" }, element("th", { colspan: "8", scope: "rowgroup" }, name, " ",
            element("small", {}, count(restaurant.count, "connection"))));
    }

    #row(connection) {
        let row = this.#rows.get(connection.id);
        if (!row) {
            const cells = COLUMNS.map((label) => element("td", { "data-label": label }));
            const name = connection.device_id ?? connection.client_type;
            const button = element("button", {
                type: "button", class: "quiet danger", "aria-label": `Close the connection of ${name}`,
                onclick: () => this.#close(connection) }, "Close");
            const node = element("tr", { "data-connection": connection.id }, ...cells, element("td", { class: "action" }, button));
            row = { node, cells };
            this.#rows.set(connection.id, row);
        }
        const isOwn = connection.id === this.#own();
        const behind = connection.events_behind;
        const texts = [
            (connection.device_id ?? "no device id") + (isOwn ? " (this page)" : ""), `${connection.client_type}, ${words(connection.role)}`, connection.state, duration(connection.connected_seconds),
            connection.last_heartbeat_seconds < 1 ? "just now" : `${duration(connection.last_heartbeat_seconds)} ago`,
            connection.round_trip_ms === null ? "–" : `${figure(connection.round_trip_ms)} ms`,
            behind === null ? "–" : behind === 0 ? "up to date" : count(behind, "event"),
        ];
        texts.forEach((text, place) => setText(row.cells[place], text));
        row.node.classList.toggle("behind", (behind ?? 0) > 0);
        row.node.classList.toggle("silent", connection.last_heartbeat_seconds > 30);
        return row.node;
    }
}

/** The table's columns; the column of the button follows them. */
export const COLUMNS = ["Device", "Type", "State", "Connected", "Last heard", "Round trip", "Behind"];

function byAge(one, other) {
    return one.connected_seconds - other.connected_seconds;
}
