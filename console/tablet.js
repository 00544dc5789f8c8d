// A point-of-sale tablet in the browser, for demonstrations: the menu, new orders, and their way through the kitchen. Its switch
// "Offline" cuts it off from the network, to show how a tablet behaves then.

import { FynloClient, randomID } from "./client.js";
import { Board, OrderBook } from "./orders.js";
import { byID, clockTime, count, duration, element, figure, freshness, lostSentence, money, notify, setText, words } from "./page.js";
import { fillRestaurants, Refusal, showFarewell, signIn, signOut, whyRefused } from "./session.js";

/** The page's network, which can be switched off. To the client this looks like lost Wi-Fi. */
class Network {
    isOff = false;

    open = (url, protocol) => {
        if (!this.isOff) return new WebSocket(url, protocol);
        const socket = { readyState: 3, close() {} };
        setTimeout(() => socket.onclose?.({ code: 1006, reason: "" }), 50);
        return socket;
    };

    fetch = (...request) => (this.isOff ? Promise.reject(new TypeError("offline")) : window.fetch(...request));
}

class Tablet {
    #session;
    #network;
    #client = null;
    #book = null;
    #board;
    #restaurant = "";
    /** The products by the id of their category. */
    #products = new Map();
    #menuLoad = 0;
    #category = "";
    #menuAt = null;
    #isMenuFresh = false;
    #lines = new Map();
    #heardAt = null;
    #lostAt = null;
    #lastState = { state: "DISCONNECTED" };

    constructor(session, network) {
        this.#session = session;
        this.#network = network;
        this.#board = new Board(byID("board"), (order, status) => this.#move(order, status));
    }

    async start() {
        const { profile } = this.#session;
        if (profile.restaurants.length === 0) {
            throw new Refusal(`No active restaurant is listed for ${profile.full_name}.`, 403);
        }
        const select = byID("restaurant");
        fillRestaurants(select, profile);
        setText(byID("person"), `${profile.full_name}, ${words(profile.role)}`);
        byID("app").hidden = false;
        select.addEventListener("change", () => {
            location.hash = select.value;
            this.#choose(select.value);
        });
        byID("offline").addEventListener("click", () => this.#switchNetwork());
        byID("retry").addEventListener("click", () => {
            this.#client.networkRestored();
            this.#client.connect();
        });
        byID("sign-out").addEventListener("click", () => signOut(this.#session));
        byID("ticket").addEventListener("submit", (submission) => {
            submission.preventDefault();
            this.#place();
        });
        window.addEventListener("online", () => this.#client.networkRestored());
        window.addEventListener("offline", () => this.#client.networkLost());
        document.addEventListener("visibilitychange", () => document.hidden || this.#client.networkRestored());
        setInterval(() => this.#tick(), 500);
        this.#choose(select.value);
    }

    #choose(restaurant) {
        this.#client?.disconnect();
        this.#book?.close();
        this.#restaurant = restaurant;
        [this.#heardAt, this.#lostAt, this.#menuAt] = [null, null, null];
        this.#lines.clear();
        this.#products.clear();
        this.#isMenuFresh = false;
        this.#showTicket();
        byID("log").replaceChildren();
        this.#book = new OrderBook(this.#session, restaurant, (book) => book === this.#book && this.#board.show(book));
        this.#board.show(this.#book);
        const key = `fynlo.queue.${restaurant}.${this.#session.profile.user_id}`;
        const client = new FynloClient({
            token: this.#session.token, user: this.#session.profile.user_id, restaurant, clientType: "pos",
            deviceId: `web-${randomID().slice(0, 8)}`, clientVersion: "web",
            storage: {
                load: () => JSON.parse(sessionStorage.getItem(key) ?? "[]"),
                save: (commands) => sessionStorage.setItem(key, JSON.stringify(commands)),
            },
            open: this.#network.open, fetch: this.#network.fetch });
        this.#client = client;
        client.on("state", (state) => this.#stateChanged(state));
        client.on("connect", (connection) => this.#connected(connection));
        client.on("event", (event) => this.#took(event));
        client.on("resync_required", () => {
            this.#note("Too many events were missed: all orders are loaded again.");
            this.#load();
        });
        client.on("command", (command) => this.#commandChanged(command));
        client.on("pong", () => { this.#heardAt = Date.now(); });
        client.on("max_reconnect_attempts", ({ attempts }) => this.#note(`${attempts} attempts failed; the tablet keeps trying.`));
        client.on("token_expiring", ({ seconds }) => {
            byID("expiring").hidden = false;
            setText(byID("expiring-sentence"), `Your token expires at ${clockTime(Date.now() + seconds * 1000)}: sign out, and sign in with a new one.`);
        });
        client.on("auth_error", ({ sentence }) => signOut(this.#session, whyRefused(this.#session.token, new Refusal(sentence, 401))));
        client.connect();
        this.#showQueue();
        this.#loadMenu();
    }

    // MARK: The connection

    #switchNetwork() {
        this.#network.isOff = !this.#network.isOff;
        byID("offline").setAttribute("aria-checked", String(this.#network.isOff));
        if (this.#network.isOff) {
            this.#note("The network was switched off.");
            this.#client.networkLost();
        } else {
            this.#note("The network is back.");
            this.#client.networkRestored();
            this.#loadMenu();
        }
    }

    #stateChanged(state) {
        if (state.state === "RECONNECTING" && state.failures > 1) {
            this.#note(`Attempt ${state.failures - 1} failed; the next one is in ${duration((state.retryAt - Date.now()) / 1000 + 1)}.`);
        } else if (["RECONNECTING", "DISCONNECTED"].includes(state.state) && this.#lastState.state === "CONNECTED") {
            this.#note(`The connection ended: ${state.sentence}`);
        }
        this.#lastState = state;
        if (state.state === "CONNECTED") [this.#lostAt, this.#heardAt] = [null, Date.now()];
        else if (this.#heardAt !== null || state.state === "RECONNECTING") this.#lostAt ??= Date.now();
        this.#tick();
    }

    #connected({ resumed, missed, seq }) {
        this.#note(resumed ? `Resumed: ${count(missed, "missed event")} sent again, up to ${seq}.` : `Connected at event ${seq}.`);
        if (this.#book.isLoaded) this.#book.retry();
        else this.#load();
    }

    async #load() {
        const book = this.#book;
        try {
            await book.load();
        } catch (refusal) {
            if (!(refusal instanceof Refusal)) throw refusal;
            if (book !== this.#book) return;
            if (refusal.isPassing) setTimeout(() => book === this.#book && !book.isLoaded && this.#client.isConnected && this.#load(), 3_000);
            else notify(`The orders could not be loaded: ${refusal.message}`, true);
        }
    }

    #took(event) {
        this.#heardAt = Date.now();
        this.#book.take(event);
        if (event.type === "menu.updated") this.#loadMenu();
        if (event.type === "system.notification") notify(`${event.data.title}: ${event.data.message}`);
    }

    #note(text) {
        const log = byID("log");
        log.prepend(element("li", {}, element("time", {}, clockTime(Date.now())), ` ${text}`));
        while (log.children.length > 30) log.lastChild.remove();
    }

    #tick() {
        const { state, sentence, retryAt, failures } = this.#lastState;
        const isLive = state === "CONNECTED" && this.#client.health !== "unhealthy";
        const isLost = !isLive && (this.#heardAt ?? this.#lostAt) !== null;
        for (const node of document.querySelectorAll("[data-from]")) {
            const [fresh, at] = node.dataset.from === "menu" ? [isLive && this.#isMenuFresh, this.#menuAt] : [isLive, this.#heardAt];
            node.classList.toggle("stale", !fresh);
            setText(node.querySelector(".as-of"), freshness(fresh, at));
        }
        const status = byID("status");
        status.dataset.state = isLive ? "live" : isLost ? "lost" : "starting";
        setText(status, isLive ? "Live" : isLost ? "Not live" : "Connecting…");
        document.title = isLost ? "(not live) Fynlo tablet" : "Fynlo tablet";
        const wait = retryAt > Date.now() ? duration((retryAt - Date.now()) / 1000 + 1) : null;
        byID("lost").hidden = !isLost;
        if (isLost) {
            const since = this.#lostAt ?? this.#heardAt;
            setText(byID("lost-sentence"), lostSentence({
                since, reason: sentence, wasConnected: this.#heardAt !== null,
                consequence: "The data is from that time; what you do is queued." }));
            setText(byID("lost-clock"), `${duration((Date.now() - since) / 1000)} ago. ${wait ? `Next try in ${wait}.` : ""}`);
        }
        setText(byID("state"), state);
        setText(byID("backoff"), wait ? `attempt ${failures} in ${wait}` : state === "CONNECTED" ? "none" : state === "DISCONNECTED" ? "stopped" : "trying now");
        setText(byID("last-seq"), figure(this.#client.lastSequence));
        const roundTrip = this.#client.roundTrip;
        setText(byID("round-trip"), isLive && roundTrip !== null ? `${figure(roundTrip)} ms` : "–");
        this.#board.tick();
    }

    // MARK: The queue

    #commandChanged(command) {
        const order = command.data?.order_id;
        const what = describe(command);
        if (order) {
            const isWaiting = command.state === "queued" || command.state === "sent";
            this.#board.mark(order, isWaiting ? `${words(command.data.status)}: ${command.state}` : null);
        }
        if (command.state === "refused") notify(`${what}: ${command.sentence}`, true);
        if (command.state === "done" && command.path) notify(`Order ${command.value.order_number} is placed.`);
        if (command.state === "done" && command.attempts > 1) this.#note(`${what}: acknowledged after ${command.attempts} attempts, done once.`);
        this.#showQueue();
    }

    #showQueue() {
        const queue = this.#client.queue;
        setText(byID("queue-count"), String(queue.length));
        byID("queue").replaceChildren(...queue.map((command) =>
            element("li", { "data-command": command.id }, describe(command), " ", element("small", {}, command.state))));
    }

    #move(order, status) {
        this.#client.send("order.status_update", { order_id: order.id, status, order_number: order.order_number });
    }

    // MARK: The menu

    /** Loads the visible category first, so that work can begin, then the others, so that it can continue offline. */
    async #loadMenu() {
        this.#menuLoad += 1;
        const [load, restaurant] = [this.#menuLoad, this.#restaurant];
        const isCurrent = () => load === this.#menuLoad;
        try {
            const { body } = await this.#session.get(`/api/v1/menu/categories?restaurant_id=${restaurant}`);
            const categories = body.filter((category) => category.product_count > 0);
            if (!isCurrent()) return;
            if (!categories.some((category) => category.id === this.#category)) this.#category = categories[0]?.id ?? "";
            this.#showCategories(categories);
            const inView = categories.filter((category) => category.id === this.#category);
            const others = categories.filter((category) => category.id !== this.#category);
            for (const category of [...inView, ...others]) {
                const products = await this.#loadProducts(restaurant, category.id);
                if (!isCurrent()) return;
                this.#products.set(category.id, products);
                if (category.id === this.#category) this.#showProducts();
                if (category === inView[0]) await new Promise((resume) => setTimeout(resume, 2_000));
                if (!isCurrent()) return;
            }
            [this.#menuAt, this.#isMenuFresh] = [Date.now(), true];
        } catch (refusal) {
            if (!(refusal instanceof Refusal)) throw refusal;
            if (!isCurrent()) return;
            this.#isMenuFresh = false;
            if (!this.#network.isOff) notify(`The menu could not be loaded: ${refusal.message}`, true);
        }
        this.#tick();
    }

    async #loadProducts(restaurant, category) {
        const products = [];
        for (let page = 1; ; page += 1) {
            const path = `/api/v1/menu?restaurant_id=${restaurant}&category=${category}&page=${page}&limit=100`;
            const { body, headers } = await this.#session.get(path);
            products.push(...body);
            if (body.length === 0 || products.length >= Number(headers.get("X-Total-Count"))) return products;
        }
    }

    #showCategories(categories) {
        byID("categories").replaceChildren(...categories.map((category) => element("button", {
            type: "button", "aria-pressed": String(category.id === this.#category), "data-category": category.id,
            onclick: () => {
                this.#category = category.id;
                for (const button of byID("categories").children) {
                    button.setAttribute("aria-pressed", String(button.dataset.category === category.id));
                }
                this.#showProducts();
            } }, `${category.icon ?? ""} ${category.name}`.trim())));
        this.#showProducts();
    }

    #showProducts() {
        const products = this.#products.get(this.#category);
        if (!products) return byID("products").replaceChildren(element("li", { class: "hint" }, "Not loaded yet."));
        byID("products").replaceChildren(...products.map((product) => element("li", {}, element("button", {
            type: "button", "data-product": product.id, onclick: () => this.#add(product, 1) },
        element("span", { class: "name" }, product.name),
        element("span", { class: "hint" }, product.description ?? ""),
        element("b", {}, money(product.price))))));
    }

    // MARK: The new order

    #add(product, quantity) {
        const line = this.#lines.get(product.id) ?? { product, quantity: 0 };
        line.quantity += quantity;
        if (line.quantity > 0) this.#lines.set(product.id, line);
        else this.#lines.delete(product.id);
        this.#showTicket();
    }

    #showTicket() {
        const lines = [...this.#lines.values()];
        const focus = document.activeElement?.dataset?.line;
        byID("lines").replaceChildren(...lines.map(({ product, quantity }) => element("li", {},
            element("span", { class: "name" }, product.name),
            element("button", { type: "button", "data-line": `less-${product.id}`, "aria-label": `One ${product.name} less`, onclick: () => this.#add(product, -1) }, "−"),
            element("b", {}, String(quantity)),
            element("button", { type: "button", "data-line": `more-${product.id}`, "aria-label": `One ${product.name} more`, onclick: () => this.#add(product, 1) }, "+"),
            element("span", { class: "price" }, money(quantity * product.price)))));
        if (lines.length === 0) byID("lines").append(element("li", { class: "hint" }, "Choose from the menu."));
        if (focus) document.querySelector(`[data-line="${focus}"]`)?.focus();
        setText(byID("sum"), money(lines.reduce((sum, { product, quantity }) => sum + quantity * product.price, 0)));
        byID("place").disabled = lines.length === 0;
    }

    /** Queues the order. The server computes the amounts; the id makes it one order, however often it is sent. */
    #place() {
        if (this.#lines.size === 0) return;
        const [table, customer] = [byID("table"), byID("customer")];
        this.#client.request("POST", "/api/v1/orders", {
            restaurant_id: this.#restaurant,
            table_number: table.value.trim() || null,
            customer_name: customer.value.trim() || null,
            items: Array.from(this.#lines.values(), ({ product, quantity }) => ({
                product_id: product.id, product_name: product.name, quantity, unit_price: product.price })),
        });
        this.#lines.clear();
        table.value = customer.value = "";
        this.#showTicket();
        byID("products").querySelector("button")?.focus();
    }
}

/** Describes a command in words. */
function describe({ path, body, data }) {
    if (!path) return `Order ${data.order_number} to ${words(data.status)}`;
    const items = body.items.reduce((sum, item) => sum + item.quantity, 0);
    return `New order${body.table_number ? ` for table ${body.table_number}` : ""}, ${count(items, "item")}`;
}

const network = new Network();
showFarewell();
signIn((session) => new Tablet(session, network).start(), { fetch: network.fetch });
