// A restaurant's open orders: a copy that follows the event stream exactly, and the board that shows it.

import { count, duration, element, money, setText, words } from "./page.js";

/** The statuses, in the order in which an order passes through them. */
const LIFE = ["draft", "pending", "confirmed", "preparing", "ready", "served", "completed"];
/** The columns of a board. */
export const OPEN_STATUSES = LIFE.slice(0, -1);
/** The largest number of orders loaded per status. */
const PAGE = 100;

/** The statuses that an order of this status can move to: forwards, by one or more steps, or cancelled. */
export function nextStatuses(status) {
    const place = LIFE.indexOf(status);
    return place < 0 || status === "completed" ? [] : [...LIFE.slice(place + 1), "cancelled"];
}

/**
 * The open orders, loaded by REST and kept up to date by events. Each list states its `seq` (X-Event-Seq), and later events
 * are applied to it. An order is read again for what its event does not contain (the items).
 */
export class OrderBook {
    #session;
    #restaurant;
    #changed;
    #waiting = null;
    #wanted = new Set();
    /** True if a load was requested while one was running: the running one may have started before a gap in the events. */
    #isOutdated = false;
    #isClosed = false;

    /** The orders by id. */
    orders = new Map();
    /** The number of orders of a status, if not all of them are shown. */
    hidden = new Map();
    isLoaded = false;

    constructor(session, restaurant, changed) {
        this.#session = session;
        this.#restaurant = restaurant;
        this.#changed = changed;
    }

    close() { this.#isClosed = true; }

    /** Loads all open orders. Call it after `authenticated`, so that no event is missed. Throws a Refusal. */
    async load() {
        if (this.#waiting) {
            this.#isOutdated = true;
            return;
        }
        this.#isOutdated = false;
        this.#waiting = [];
        const orders = new Map();
        const hidden = new Map();
        let oldest = Infinity;
        try {
            // Statuses are loaded last to first: an order that moves during the load is loaded already or has an event.
            for (const status of [...OPEN_STATUSES].reverse()) {
                const { body, headers } = await this.#session.get(
                    `/api/v1/orders?restaurant_id=${this.#restaurant}&status=${status}&limit=${PAGE}`);
                for (const order of body) keepNewer(orders, order);
                oldest = Math.min(oldest, Number(headers.get("X-Event-Seq")));
                hidden.set(status, Math.max(0, Number(headers.get("X-Total-Count")) - body.length));
            }
        } catch (error) {
            this.#waiting = null;
            this.isLoaded = false;
            throw error;
        }
        if (this.#isClosed) return;
        const events = this.#waiting;
        this.#waiting = null;
        this.orders = orders;
        this.hidden = hidden;
        this.isLoaded = true;
        for (const event of events) if (event.seq > oldest) this.#apply(event);
        this.#changed(this);
        if (this.#isOutdated) await this.load();
    }

    /** Applies an event of the stream. */
    take(event) {
        if (!event.type.startsWith("order.")) return;
        if (this.#waiting) this.#waiting.push(event);
        else if (this.#apply(event)) this.#changed(this);
    }

    /** Reads orders again that could not be read. */
    retry() {
        for (const id of this.#wanted) this.#read(id);
    }

    #apply({ type, data }) {
        const order = this.orders.get(data.order_id);
        if (type === "order.deleted") return this.orders.delete(data.order_id);
        if (order && data.version <= order.version) return false;
        if (order && type === "order.status_changed") {
            const isOpen = OPEN_STATUSES.includes(data.status);
            if (isOpen) this.orders.set(order.id, { ...order, status: data.status, version: data.version });
            else this.orders.delete(order.id);
            // Another program may have changed more than the status in the same transaction.
            if (isOpen && data.updated_by === null) this.#read(order.id);
            return true;
        }
        if (OPEN_STATUSES.includes(data.status)) this.#read(data.order_id);
        return false;
    }

    async #read(id) {
        this.#wanted.add(id);
        try {
            const { body } = await this.#session.get(`/api/v1/orders/${id}`);
            this.#wanted.delete(id);
            if (this.#isClosed) return;
            if (!OPEN_STATUSES.includes(body.status)) this.orders.delete(id);
            else keepNewer(this.orders, body);
            this.#changed(this);
        } catch (refusal) {
            // The order is gone, or is read when the server is back.
            if (!refusal.isPassing) this.#wanted.delete(id);
            else if (!this.#isClosed) setTimeout(() => this.#wanted.has(id) && this.#read(id), 2_000);
        }
    }
}

function keepNewer(orders, order) {
    const known = orders.get(order.id);
    if (!known || known.version <= order.version) orders.set(order.id, order);
}

/** A board in `container` with a column per status. `move(order, status)` is called when the user moves an order. */
export class Board {
    #columns = new Map();
    #cards = new Map();
    #marks = new Map();
    #move;

    constructor(container, move) {
        this.#move = move;
        container.replaceChildren(...OPEN_STATUSES.map((status) => {
            const number = element("span", { class: "number" }, "0");
            const list = element("ul", { class: "cards" });
            const more = element("p", { class: "hint" });
            const column = element("section", { class: "column", "data-status": status, "aria-label": words(status) },
                element("h3", {}, words(status), " ", number), list, more);
            this.#columns.set(status, { column, number, list, more });
            return column;
        }));
    }

    show(book) {
        const focused = document.activeElement;
        for (const [id, card] of this.#cards) {
            if (book.orders.has(id)) continue;
            card.node.remove();
            this.#cards.delete(id);
        }
        const orders = [...book.orders.values()].sort((one, other) => one.created_at.localeCompare(other.created_at));
        for (const [status, { column, number, list, more }] of this.#columns) {
            const here = orders.filter((order) => order.status === status);
            const hidden = book.hidden.get(status) ?? 0;
            setText(number, String(here.length + hidden));
            setText(more, hidden > 0 ? `${count(hidden, "older order")} not shown` : "");
            column.classList.toggle("empty", here.length === 0);
            here.forEach((order, place) => {
                const { node } = this.#card(order);
                if (list.children[place] !== node) list.insertBefore(node, list.children[place] ?? null);
            });
        }
        // An element loses the focus when it is moved.
        if (focused?.isConnected && focused !== document.activeElement) focused.focus();
    }

    /** Updates the ages between events. */
    tick() {
        for (const { age, order } of this.#cards.values()) setText(age, duration((Date.now() - Date.parse(order.created_at)) / 1000));
    }

    /** Shows an order's pending change on its card, such as "ready: queued"; null removes it. */
    mark(id, text) {
        if (text === null) this.#marks.delete(id);
        else this.#marks.set(id, text);
        const card = this.#cards.get(id);
        if (card) this.#showMark(card.node, text);
    }

    #showMark(node, text) {
        node.querySelector(".mark")?.remove();
        if (text) node.append(element("p", { class: "mark", role: "status" }, text));
    }

    #card(order) {
        const known = this.#cards.get(order.id);
        if (known?.order.version === order.version) return known;
        const age = element("span", { class: "age" }, duration((Date.now() - Date.parse(order.created_at)) / 1000));
        const shown = order.items.slice(0, order.items.length > 5 ? 4 : 5);
        const parts = [
            element("header", {}, element("h4", {}, `${order.order_number}`), age),
            element("p", { class: "who" }, who(order)),
            element("ul", { class: "items" },
                ...shown.map((item) => element("li", {}, element("b", {}, `${item.quantity} `), item.product_name)),
                order.items.length > shown.length
                    ? element("li", { class: "hint" }, `and ${order.items.length - shown.length} more`) : null),
            order.notes ? element("p", { class: "notes" }, order.notes) : null,
            this.#footer(order),
        ];
        const node = known?.node ?? element("li", { class: "card", "data-order": order.id });
        const focus = node.contains(document.activeElement) ? document.activeElement.dataset.part : null;
        node.replaceChildren(...parts.filter(Boolean));
        this.#showMark(node, this.#marks.get(order.id));
        if (known) {
            node.classList.add("changed");
            setTimeout(() => node.classList.remove("changed"), 1_500);
        }
        if (focus) node.querySelector(`[data-part=${focus}]`)?.focus();
        const card = { node, age, order };
        this.#cards.set(order.id, card);
        return card;
    }

    #footer(order) {
        const [next, ...others] = nextStatuses(order.status);
        const name = `order ${order.order_number}`;
        const select = element("select", {
            "data-part": "others", "aria-label": `Move ${name} elsewhere`,
            onchange: () => {
                const status = select.value;
                select.value = "";
                if (status) this.#move(order, status);
            } }, element("option", { value: "" }, "…"), ...others.map((status) => element("option", { value: status }, words(status))));
        return element("footer", {},
            element("span", { class: "total" }, money(order.total_amount)),
            element("button", {
                type: "button", "data-part": "next", "aria-label": `Move ${name} to ${words(next)}`,
                onclick: () => this.#move(order, next) }, `${words(next)} →`),
            select);
    }
}

/** An order's place and customer, such as "Table 4 · Anna". */
function who(order) {
    const place = order.table_number ? `Table ${order.table_number}` : words(order.order_type);
    return order.customer_name ? `${place} · ${order.customer_name}` : place;
}
