// The console shows a restaurant's tablets and orders live. Managers see their own restaurants, platform owners all of them.

import { closeConnection, invalidateMenu, moveOrder, renewToken, sendNotification } from "./actions.js";
import { Chart } from "./charts.js";
import { FynloClient, randomID } from "./client.js";
import { COLUMNS, ConnectionTable, Diagnostics } from "./diagnostics.js";
import { EventStream } from "./events.js";
import { CACHE_LEVELS } from "./history.js";
import { Board, OrderBook } from "./orders.js";
import { byID, clockTime, copy, count, duration, element, figure, freshness, lostSentence, notify, setText, words } from "./page.js";
import { fillRestaurants, Refusal, showFarewell, signIn, signOut, whyRefused } from "./session.js";

const MANAGEMENT = ["manager", "restaurant_owner", "platform_owner"];

class Console {
    #session;
    #diagnostics;
    #client = null;
    #book = null;
    #board;
    #stream;
    #table;
    #charts;
    #samples = [];
    /** When the report was last requested. */
    #reportAt = null;
    /** When the socket was lost; null while it is open or not wanted. */
    #lostAt = null;
    /** When this page last heard from the server over the socket. */
    #heardAt = null;
    #lastState = { state: "DISCONNECTED" };

    constructor(session) {
        this.#session = session;
        this.#diagnostics = new Diagnostics(session, (refusal) => this.#answered(refusal));
        this.#board = new Board(byID("board"), (order, status) => moveOrder(this.#client, this.#board, order, status));
        this.#stream = new EventStream(byID("events"));
        this.#table = new ConnectionTable(byID("connections"), {
            names: (id) => this.#name(id), own: () => this.#client?.session?.connection_id,
            close: (connection) => closeConnection(this.#session, connection) });
        byID("connection-columns").replaceChildren(
            ...COLUMNS.map((label) => element("th", { scope: "col" }, label)),
            element("th", { scope: "col" }, element("span", { class: "unseen" }, "Action")));
        this.#charts = makeCharts();
    }

    /** Throws a Refusal if the user may not see the console. */
    async start() {
        const { profile } = this.#session;
        if (!MANAGEMENT.includes(profile.role)) {
            throw new Refusal(
                `The console is for managers and owners; ${profile.full_name} is signed up as ${words(profile.role)}.`, 403);
        }
        if (profile.restaurants.length === 0 && !this.#session.isPlatformOwner) {
            throw new Refusal(`No active restaurant is listed for ${profile.full_name}.`, 403);
        }
        const select = byID("restaurant");
        fillRestaurants(select, profile, this.#session.isPlatformOwner ? "All restaurants" : null);
        try {
            await this.#choose(select.value);
        } catch (refusal) {
            this.#diagnostics.stop();
            throw refusal;
        }
        select.addEventListener("change", () => { location.hash = select.value; });
        window.addEventListener("hashchange", () => {
            fillRestaurants(select, profile, this.#session.isPlatformOwner ? "All restaurants" : null);
            this.#choose(select.value).catch((refusal) => notify(refusal.message, true));
        });
        setText(byID("person"), `${profile.full_name}, ${words(profile.role)}`);
        byID("app").hidden = false;
        setInterval(() => this.#tick(), 1_000);
        window.addEventListener("online", () => this.#retry());
        window.addEventListener("offline", () => this.#client?.networkLost());
        document.addEventListener("visibilitychange", () => document.hidden || this.#retry());
        byID("retry").addEventListener("click", () => {
            this.#retry();
            // This works even if the close code forbids an automatic retry.
            this.#client?.connect();
        });
        byID("sign-out").addEventListener("click", () => signOut(this.#session));
        const own = () => [this.#session, this.#diagnostics.restaurant, this.#name(this.#diagnostics.restaurant)];
        byID("notify").addEventListener("click", () => sendNotification(...own()));
        byID("invalidate").addEventListener("click", () => invalidateMenu(...own()));
        byID("copy").addEventListener("click", () => this.#copy());
        byID("renew").addEventListener("click", () => renewToken(this.#session, this.#client, whyRefused));
        byID("refresh").addEventListener("click", () => this.#loadReport());
        this.#loadReport();
    }

    #retry() {
        this.#client?.networkRestored();
        this.#diagnostics.poll();
    }

    #name(id) {
        return this.#session.profile.restaurants.find((restaurant) => restaurant.id === id)?.name ?? id;
    }

    // MARK: One restaurant or all

    async #choose(restaurant) {
        this.#client?.disconnect();
        this.#book?.close();
        [this.#client, this.#book, this.#lostAt, this.#heardAt] = [null, null, null, null];
        this.#samples = [];
        this.#stream.clear();
        if (this.#reportAt !== null) this.#reportAt = 0;
        const isOne = restaurant !== "";
        for (const node of document.querySelectorAll("[data-needs-restaurant]")) node.hidden = !isOne;
        byID("choose-hint").hidden = isOne;
        await this.#diagnostics.choose(restaurant);
        if (restaurant !== this.#diagnostics.restaurant) return;
        if (isOne) this.#follow(restaurant);
    }

    #follow(restaurant) {
        this.#book = new OrderBook(this.#session, restaurant, (book) => this.#showOrders(book));
        this.#board.show(this.#book);
        const client = new FynloClient({
            token: this.#session.token, user: this.#session.profile.user_id, restaurant,
            clientType: this.#session.isPlatformOwner ? "platform" : "management",
            deviceId: `console-${randomID().slice(0, 8)}`, clientVersion: "console" });
        this.#client = client;
        client.on("state", (state) => this.#stateChanged(state));
        client.on("connect", (connection) => this.#connected(connection));
        client.on("event", (event) => this.#took(event));
        client.on("resync_required", () => this.#load());
        client.on("pong", () => { this.#heardAt = Date.now(); });
        client.on("auth_error", ({ sentence }) => this.#refused(sentence));
        client.on("token_expiring", ({ seconds }) => this.#expiring(seconds));
        client.on("token_renewed", () => this.#renewed());
        client.connect();
    }

    #stateChanged(state) {
        this.#lastState = state;
        if (state.state === "CONNECTED") {
            this.#lostAt = null;
            this.#heardAt = Date.now();
        } else if (this.#heardAt !== null || state.state === "RECONNECTING") this.#lostAt ??= Date.now();
        this.#tick();
    }

    #connected({ resumed }) {
        if (!this.#book.isLoaded) this.#load();
        else this.#book.retry();
        if (resumed) this.#diagnostics.poll();
    }

    async #load() {
        const book = this.#book;
        try {
            await book.load();
            if (this.#stream.isEmpty) await this.#loadPast(book);
        } catch (refusal) {
            if (!(refusal instanceof Refusal)) throw refusal;
            if (book !== this.#book) return;
            if (refusal.isPassing) setTimeout(() => book === this.#book && !book.isLoaded && this.#client.isConnected && this.#load(), 3_000);
            else notify(`The orders could not be loaded: ${refusal.message}`, true);
        }
    }

    /** Loads the latest events, so that the stream is not empty at first. */
    async #loadPast(book) {
        const after = Math.max(0, (this.#client.session?.seq ?? 0) - 20);
        const path = `/api/v1/events?restaurant_id=${this.#diagnostics.restaurant}&after=${after}&limit=20`;
        try {
            const { body } = await this.#session.get(path);
            if (book === this.#book) this.#stream.begin(body);
        } catch {
            // They are deleted, or cannot be loaded now: the stream begins with the next event.
        }
    }

    #took(event) {
        this.#heardAt = Date.now();
        this.#stream.add(event);
        this.#book.take(event);
        if (event.type === "menu.updated") notify(`The menu has changed; it is now version ${event.data.version}.`);
    }

    #showOrders(book) {
        if (book !== this.#book) return;
        this.#board.show(book);
        setText(byID("open-orders"), figure(book.orders.size));
    }

    // MARK: Diagnostics

    #answered(refusal) {
        if (refusal?.status === 401) return this.#refused(whyRefused(this.#session.token, refusal));
        if (!refusal) {
            this.#showDiagnostics();
            this.#showHistory();
            if (this.#reportAt !== null) this.#renewReport();
        }
        this.#tick();
    }

    #showDiagnostics() {
        const restaurants = this.#diagnostics.restaurants;
        restaurants.sort((one, other) => this.#name(one.id).localeCompare(this.#name(other.id)));
        this.#table.show(restaurants);
        const connections = restaurants.flatMap((restaurant) => restaurant.connections);
        const behind = connections.filter((connection) => connection.events_behind > 0);
        const most = Math.max(0, ...behind.map((connection) => connection.events_behind));
        setText(byID("tablets"), figure(restaurants.reduce((sum, restaurant) => sum + restaurant.count, 0)));
        setText(byID("tablets-note"), behind.length > 0
            ? `${count(behind.length, "tablet")} behind, by up to ${count(most, "event")}` : "none is behind");
        const silent = this.#diagnostics.report.silent_nodes;
        setText(byID("nodes-note"), silent === null
            ? "Redis is unavailable: other servers, if there are any, could not be asked."
            : silent.length > 0 ? `${count(silent.length, "server")} did not answer: the tablets there are missing here.` : "");
    }

    #showHistory() {
        const { history } = this.#diagnostics;
        this.#samples = history.samples;
        const last = this.#samples.at(-1);
        const until = last ? `until ${clockTime(last.at)}` : "not measured yet";
        const { messages, heartbeats, p95, events } = last?.values ?? {};
        setText(byID("messages"), figure(messages));
        setText(byID("messages-note"), `received from tablets in 15 s ${until}`);
        setText(byID("delivery"), events > 0 ? `${figure(p95)} ms` : "–");
        setText(byID("delivery-note"), events > 0 ? `p95 of ${count(events, "event")} in a minute ${until}` : `no event in a minute ${until}`);
        setText(byID("heartbeats"), Number.isFinite(heartbeats) ? `${figure(heartbeats)} %` : "–");
        setText(byID("heartbeats-note"), `of those expected in a minute ${until}`);
        setText(byID("charts-note"), history.note);
    }

    // MARK: Live or not

    #tick() {
        const { answeredAt, isFresh, lostAt } = this.#diagnostics;
        const isFollowing = this.#client !== null;
        const isConnected = isFollowing && this.#client.isConnected && this.#client.health !== "unhealthy";
        for (const node of document.querySelectorAll("[data-from]")) {
            const [fresh, at] = node.dataset.from === "socket" ? [isConnected, this.#heardAt] : [isFresh, answeredAt];
            node.classList.toggle("stale", !fresh);
            const chip = node.querySelector(".as-of");
            if (chip) setText(chip, freshness(fresh, at));
        }
        const isLost = (isFollowing && this.#lostAt !== null) || lostAt !== null || (answeredAt !== null && !isFresh);
        this.#showBanner(isLost, Math.min(this.#lostAt ?? Infinity, lostAt ?? Infinity, this.#lostAt ?? lostAt ?? answeredAt));
        const isLive = !isLost && (isFollowing ? isConnected : isFresh);
        const status = byID("status");
        status.dataset.state = isLive ? "live" : isLost ? "lost" : "starting";
        setText(status, isLive ? "Live" : isLost ? "Not live" : "Connecting…");
        document.title = isLost ? "(not live) Fynlo console" : "Fynlo console";
        for (const chart of this.#charts) chart.show(this.#samples);
        this.#board.tick();
    }

    #showBanner(isLost, since) {
        const banner = byID("lost");
        banner.hidden = !isLost;
        if (!isLost) return;
        const { state, sentence, retryAt } = this.#lastState;
        const isOver = this.#client !== null && state === "DISCONNECTED";
        const reason = this.#lostAt !== null ? sentence : this.#diagnostics.problem;
        setText(byID("lost-sentence"), lostSentence({
            since, reason, wasConnected: this.#client === null || this.#heardAt !== null,
            consequence: "The data below is from that time and is not live." }));
        const next = isOver ? "No automatic retry." : retryAt > Date.now() ? `Next try in ${duration((retryAt - Date.now()) / 1000 + 1)}.` : "Trying now.";
        setText(byID("lost-clock"), `${duration((Date.now() - since) / 1000)} ago. ${next}`);
    }

    #refused(sentence) {
        this.#diagnostics.stop();
        this.#client?.disconnect();
        signOut(this.#session, sentence.startsWith("This token") ? sentence : whyRefused(this.#session.token, new Refusal(sentence, 401)));
    }

    // MARK: The token

    #expiring(seconds) {
        byID("expiring").hidden = false;
        const end = clockTime(Date.now() + seconds * 1000);
        setText(byID("expiring-sentence"), `Your token expires at ${end}. Paste a new one to stay signed in.`);
    }

    #renewed() {
        byID("expiring").hidden = true;
    }

    // MARK: The report

    /** Refreshes the report now and then, unless the user has selected a part of it. */
    #renewReport() {
        const isMarked = byID("report").contains(document.getSelection().anchorNode) && !document.getSelection().isCollapsed;
        if (!isMarked && Date.now() - this.#reportAt > 30_000) this.#loadReport();
    }

    async #loadReport() {
        this.#reportAt = Date.now();
        try {
            const { body } = await this.#session.ask("GET", this.#diagnostics.path, { accept: "text/plain" });
            setText(byID("report"), body);
            setText(byID("report-time"), `as of ${clockTime(Date.now())}`);
        } catch (refusal) {
            notify(`The report could not be loaded: ${refusal.message}`, true);
        }
    }

    async #copy() {
        try {
            await copy(byID("report").textContent);
            notify("The report is copied.");
        } catch (error) {
            notify(error.message, true);
        }
    }
}

function makeCharts() {
    const minute = "each point is of the minute before it.";
    return [
        ["chart-messages", {
            title: "Messages", unit: "per second", series: [{ key: "messages", label: "received" }],
            note: "Messages that tablets sent; each point covers the 15 s before it." }],
        ["chart-delivery", {
            title: "Delivery", unit: "ms",
            series: [{ key: "p50", label: "p50" }, { key: "p95", label: "p95" }, { key: "p99", label: "p99" }],
            note: `From an event's commit until its server has written it to the last tablet, as servers count it in steps of 1, 2, 5, 10 …; ${minute}` }],
        ["chart-heartbeats", {
            title: "Heartbeats", unit: "% of those expected", limit: 100, series: [{ key: "heartbeats", label: "received" }],
            note: `Pings received ÷ pings due; ${minute}` }],
        ["chart-cache", {
            title: "Menu reads", unit: "per minute", series: [...CACHE_LEVELS].map(([key, label]) => ({ key, label })),
            note: `The source that menus were read from; ${minute}` }],
    ].map(([id, settings]) => new Chart(byID(id), settings));
}

showFarewell();
signIn((session) => new Console(session).start());
