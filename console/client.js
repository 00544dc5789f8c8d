// The tablet's side of the WebSocket protocol, for web pages: connect, authenticate, resume, back off, and a queue of commands
// that each take effect once. It uses only what every browser provides, and does not depend on the page.
//
//     const client = new FynloClient({ token, user, restaurant, clientType: "pos", deviceId: "bar-1" });
//     client.on("state", ({ state, sentence, retryAt }) => …);     // see STATES
//     client.on("event", (event) => …);                            // durable ones in the order of their `seq`, each once
//     client.on("resync_required", () => …);                       // load everything by REST again
//     client.connect();
//     const { id, answer } = client.send("order.status_update", { order_id, status: "ready" });
//     await answer;                                                // { seq }, or a CommandRefused with a sentence
//
//     DISCONNECTED ──connect()──► CONNECTING ──open──► AUTHENTICATING ──authenticated──► CONNECTED
//          ▲                          ▲ │ failed               │ refused                    │ lost
//          │ a close code that        │ ▼                      ▼                            │
//          └─ forbids it ◄──────── RECONNECTING ◄──────────────┴────────────────────────────┘
//                                  1, 2, 4, 8, 16, 30 s, less up to a half

/** The states of a client. */
export const STATES = ["DISCONNECTED", "CONNECTING", "AUTHENTICATING", "CONNECTED", "RECONNECTING"];

/** Seconds before the first, second … retry; the last value is used for all later ones. */
const DELAYS = [1, 2, 4, 8, 16, 30];
/** Consecutive failures after which `max_reconnect_attempts` is reported; the client keeps trying, at the longest delay. */
const MANY_FAILURES = 10;
const CONNECT_TIMEOUT = 10_000;
const AUTHENTICATION_TIMEOUT = 10_000;
/** The longest interval between pings; the server may ask for a shorter one. */
const PING_INTERVAL = 15_000;
const PONG_TIMEOUT = 5_000;
/** Consecutive unanswered pings after which the connection counts as dead. */
const TOLERATED_PINGS = 3;
const ANSWER_TIMEOUT = 10_000;
/** The largest number of waiting commands. */
const QUEUE_LIMIT = 1_000;

/** Close codes after which another connection would end the same way. */
const FINAL_CODES = new Set([1000, 1002, 1003, 1007, 1008, 1009, 1010, 4006, 4011]);
/** Close codes after which only another token helps, unless `auth_error` said that the same one may be tried again. */
const TOKEN_CODES = new Set([4001, 4002, 4003, 4005]);

/** The meaning of each close code, as shown to people. */
const SENTENCES = new Map([
    [1001, "The server is restarting."],
    [1006, "The connection was lost."],
    [1009, "The message was too large."],
    [4000, "The server had an error."],
    [4004, "The server stopped answering."],
    [4005, "The token has expired."],
    [4006, "Access was revoked, or an administrator closed this connection."],
    [4008, "Too many messages were sent."],
    [4010, "This device read too slowly."],
    [4011, "A newer connection of this device took over."],
]);

/** The server's refusal of a command; `message` is the server's own sentence. */
export class CommandRefused extends Error {
    constructor({ error, code, order }) {
        super(error);
        this.code = code;
        /** The order's present state, if the error carries it. */
        this.order = order;
    }
}

/** Makes a random id; crypto.randomUUID exists only over https. */
export function randomID() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class FynloClient {
    #settings;
    #listeners = new Map();
    #socket = null;
    #timers = new Map();
    #state = "DISCONNECTED";
    #refusal = null;
    #retryAfter = 0;
    #pings = { number: 0, sentAt: null, missed: 0 };
    #offsets = [];
    #queue = [];
    #current = null;
    #answers = new Map();
    #commandFailures = 0;

    /** The last durable event passed to listeners; null before the first `authenticated`. */
    lastSequence = null;
    /** Consecutive failures. */
    failures = 0;
    /** When the next attempt is due, in the time of Date.now(); null if none is. */
    retryAt = null;
    /** The round trip of the last ping, in milliseconds; null before the first pong. */
    roundTrip = null;
    /** When the last pong came. */
    lastPongAt = null;
    /** The data of the last `authenticated`. */
    session = null;

    /**
     * @param {object} settings
     * @param {string} [settings.server] such as "https://pos.example.com"; the page's own server by default
     * @param {string} settings.token, settings.user, settings.restaurant
     * @param {"pos"|"kitchen"|"management"|"platform"} [settings.clientType]
     * @param {string} [settings.deviceId] the device's newest connection replaces a dead one
     * @param {string} [settings.clientVersion]
     * @param {{load: () => object[], save: (commands: object[]) => void}} [settings.storage] keeps the queue
     * @param {() => Promise<string>} [settings.renewToken] called for a new token when the old one expires
     * @param {(url: string, protocol: string) => WebSocket} [settings.open]
     * @param {typeof fetch} [settings.fetch]
     */
    constructor(settings) {
        this.#settings = {
            server: location.origin,
            clientType: "pos",
            open: (url, protocol) => new WebSocket(url, protocol),
            fetch: (...request) => fetch(...request),
            ...settings,
        };
        this.#queue = (settings.storage?.load() ?? []).map((command) => ({ ...command, state: "queued" }));
    }

    get state() { return this.#state; }

    get isConnected() { return this.#state === "CONNECTED"; }

    /** The commands without an answer, in order: { id, type or path, state: "queued" | "sent", attempts }. */
    get queue() { return this.#queue.map((command) => ({ ...command })); }

    /** How far the server's clock is ahead, in milliseconds, by the quickest of the last pongs; null before the first. */
    get clockOffset() {
        if (this.#offsets.length === 0) return null;
        return this.#offsets.reduce((best, next) => (next.roundTrip < best.roundTrip ? next : best)).offset;
    }

    /**
     * Calls `listener` for one of these events, and returns a function that removes it:
     * "state" { state, sentence, failures, retryAt }, "connect" { resumed, missed, seq }, "disconnect" { code, reason, sentence },
     * "event" (the envelope), "resync_required" { seq }, "command" (an entry of the queue, in the end with state "done" and
     * `value`, or "refused" and `sentence`), "auth_error" { sentence } (only `setToken` helps), "token_expiring" { seconds },
     * "token_renewed", "token_refused" { error }, "max_reconnect_attempts" { attempts }, "pong", "error" { code, error }.
     */
    on(name, listener) {
        const listeners = this.#listeners.get(name) ?? new Set();
        this.#listeners.set(name, listeners.add(listener));
        return () => listeners.delete(listener);
    }

    #tell(name, detail) {
        for (const listener of this.#listeners.get(name) ?? []) listener(detail);
    }

    // MARK: Connecting

    /** Connects, and reconnects until `disconnect`; does nothing if it is connected or connecting already. */
    connect() {
        if (this.#state !== "DISCONNECTED") return;
        this.failures = 0;
        this.#open();
    }

    /** Closes the connection; the queue is kept. */
    disconnect() {
        const socket = this.#release();
        socket?.close(1000);
        this.#requeue();
        this.#become("DISCONNECTED", { code: 1000, sentence: "Disconnected." });
    }

    /** Tells the client that the system has no network. */
    networkLost() {
        if (this.#socket) this.#lost(1006, "The network is gone.");
    }

    /** Tells the client that the system has a network again: it connects at once, or pings if it still has a connection. */
    networkRestored() {
        if (this.#state === "RECONNECTING") this.#open();
        if (this.#state === "CONNECTED") this.#ping(TOLERATED_PINGS - 1);
    }

    /** Replaces the token: over the open connection if there is one, else with a new connection. */
    setToken(token) {
        this.#settings.token = token;
        if (this.#state === "CONNECTED") this.#say({ type: "reauth", data: { token } });
        else if (this.#state === "DISCONNECTED") this.connect();
    }

    #open() {
        this.#release();
        this.#become("CONNECTING", { sentence: "Connecting." });
        const { server, clientType, restaurant, open } = this.#settings;
        const url = `${server.replace(/^http/, "ws")}/api/v1/websocket/ws/${clientType}/${restaurant}`;
        this.#refusal = null;
        this.#retryAfter = 0;
        const socket = open(url, "fynlo.v1");
        this.#socket = socket;
        this.#after("connect", CONNECT_TIMEOUT, () => this.#lost(1006, "The server could not be reached in time."));
        socket.onopen = () => this.#authenticate();
        socket.onmessage = ({ data }) => this.#receive(data);
        // An error event has no details, and a close event always follows it.
        socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    }

    #authenticate() {
        const { token, user, restaurant, deviceId, clientVersion } = this.#settings;
        this.#stop("connect");
        this.#become("AUTHENTICATING", { sentence: "Signing in." });
        this.#after("authenticate", AUTHENTICATION_TIMEOUT, () => this.#lost(1006, "The server did not answer in time."));
        const data = { token, user_id: user, restaurant_id: restaurant };
        if (deviceId) data.device_id = deviceId;
        if (clientVersion) data.client_version = clientVersion;
        if (this.lastSequence !== null) data.last_seq = this.lastSequence;
        this.#say({ type: "authenticate", data });
    }

    #authenticated(data) {
        const isRenewal = this.#state === "CONNECTED";
        this.session = data;
        if (isRenewal) return this.#tell("token_renewed", data);
        this.#stop("authenticate");
        this.failures = 0;
        const missed = data.resumed && this.lastSequence !== null ? data.seq - this.lastSequence : 0;
        // Without a resume, the next event is the one after `seq`: the state before it has to be loaded.
        if (!data.resumed) this.lastSequence = data.seq;
        this.#become("CONNECTED", { sentence: "Connected." });
        this.#tell("connect", { resumed: data.resumed, missed, seq: data.seq });
        this.lastPongAt = Date.now();
        this.#ping(0);
        this.#every("ping", Math.min(data.heartbeat_interval_ms || PING_INTERVAL, PING_INTERVAL), () => this.#ping());
        this.#pump();
    }

    /** Handles the end of the connection: the contract's table of close codes decides whether the client connects again. */
    #lost(code, reason) {
        const socket = this.#release();
        if (socket && socket.readyState < 2) socket.close(code === 4004 ? 4004 : 1000);
        if (code === 1009 && this.#current) this.#finish(this.#current, { error: "The message is too large.", code: "too_large" });
        this.#requeue();
        const refusal = this.#refusal;
        const sentence = refusal?.error ?? SENTENCES.get(code) ?? (reason || `The connection ended with code ${code}.`);
        const detail = { code, reason, sentence };
        this.#tell("disconnect", detail);
        const needsToken = refusal ? !refusal.retryable : TOKEN_CODES.has(code);
        if (needsToken) return this.#renewToken(detail);
        if (!refusal && FINAL_CODES.has(code)) return this.#become("DISCONNECTED", detail);
        this.#reconnectLater(detail);
    }

    #reconnectLater(detail) {
        const longest = 1000 * DELAYS[Math.min(this.failures, DELAYS.length - 1)];
        this.failures += 1;
        const delay = Math.max(longest * (1 - Math.random() / 2), this.#refusal?.retry_after_ms ?? this.#retryAfter);
        this.retryAt = Date.now() + delay;
        this.#become("RECONNECTING", detail);
        if (this.failures === MANY_FAILURES) this.#tell("max_reconnect_attempts", { attempts: this.failures });
        this.#after("reconnect", delay, () => this.#open());
    }

    /** Fetches a new token and connects once more; without a token the client waits for `setToken`. */
    async #renewToken(detail) {
        this.#become("DISCONNECTED", { ...detail, needsToken: true });
        if (this.#settings.renewToken && this.failures < MANY_FAILURES) {
            try {
                const token = await this.#settings.renewToken();
                this.failures += 1;
                return this.setToken(token);
            } catch {
                // Reported below.
            }
        }
        this.#tell("auth_error", detail);
    }

    #become(state, detail = {}) {
        this.#state = state;
        if (state !== "RECONNECTING") this.retryAt = null;
        this.#tell("state", { state, failures: this.failures, retryAt: this.retryAt, ...detail });
    }

    /** Closes the socket, ignores its later events, and cancels all timers. */
    #release() {
        for (const name of [...this.#timers.keys()]) this.#stop(name);
        const socket = this.#socket;
        this.#socket = null;
        this.#pings.sentAt = null;
        if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
        return socket;
    }

    // MARK: Receiving

    #receive(text) {
        let message;
        try {
            message = JSON.parse(text);
        } catch {
            return;
        }
        const data = message.data ?? {};
        switch (message.type) {
        case "authenticated": return this.#authenticated(data);
        case "auth_error":
            // On an open connection this refuses the new token; otherwise a close follows.
            if (this.#state === "CONNECTED") return this.#tell("token_refused", data);
            this.#refusal = data;
            return;
        case "ping": return this.#say({ type: "pong", data: {} });
        case "pong": return this.#pong(data);
        case "ack": return this.#acknowledged(data);
        case "error": return this.#refused(data);
        case "reconnect": this.#retryAfter = data.retry_after_ms ?? 0; return;
        case "token_expired": return this.#expiring(data);
        case "resync_required":
            this.lastSequence = data.seq;
            return this.#tell("resync_required", data);
        default: return this.#event(message);
        }
    }

    #event(event) {
        if (typeof event.seq === "number") {
            if (this.lastSequence !== null && event.seq <= this.lastSequence) return;
            this.lastSequence = event.seq;
        }
        this.#tell("event", event);
    }

    async #expiring(data) {
        this.#tell("token_expiring", { seconds: data.seconds_until_expiry });
        if (!this.#settings.renewToken) return;
        try {
            this.setToken(await this.#settings.renewToken());
        } catch {
            // The old token is valid until it expires.
        }
    }

    // MARK: Heartbeat

    /** Sends a ping that says which events are applied; `missed` is the number of unanswered pings so far. */
    #ping(missed = this.#pings.missed) {
        this.#pings.missed = missed;
        this.#pings.number += 1;
        this.#pings.sentAt = performance.now();
        const data = { n: this.#pings.number, sent: Date.now() };
        if (this.lastSequence !== null) data.last_seq = this.lastSequence;
        if (this.roundTrip !== null) data.rtt_ms = Math.round(this.roundTrip * 10) / 10;
        this.#say({ type: "ping", data });
        this.#after("pong", PONG_TIMEOUT, () => {
            this.#pings.missed += 1;
            this.#pings.sentAt = null;
            if (this.#pings.missed >= TOLERATED_PINGS) this.#lost(4004, "");
        });
    }

    #pong(data) {
        this.#stop("pong");
        this.#pings.missed = 0;
        this.lastPongAt = Date.now();
        const echo = data.echo ?? {};
        // A late pong shows that the server is there, but is no measurement.
        if (echo.n === this.#pings.number && this.#pings.sentAt !== null) {
            this.roundTrip = performance.now() - this.#pings.sentAt;
            const offset = Date.parse(data.timestamp) - (echo.sent + this.roundTrip / 2);
            this.#offsets = [...this.#offsets.slice(-7), { roundTrip: this.roundTrip, offset }];
        }
        this.#pings.sentAt = null;
        this.#tell("pong", { roundTrip: this.roundTrip });
    }

    /** The connection's health by the age of the last pong: "healthy", "degraded" or "unhealthy". */
    get health() {
        const age = this.isConnected && this.lastPongAt !== null ? Date.now() - this.lastPongAt : Infinity;
        if (age < 20_000) return "healthy";
        return age < 30_000 ? "degraded" : "unhealthy";
    }

    // MARK: Commands

    /** Queues a message. It is sent in order, sent again if the connection is lost, and takes effect once. */
    send(type, data) {
        return this.#submit({ id: randomID(), type, data });
    }

    /** Queues a request with a JSON body; its id is the Idempotency-Key. */
    request(method, path, body) {
        return this.#submit({ id: randomID(), method, path, body });
    }

    #submit(command) {
        if (this.#queue.length >= QUEUE_LIMIT) {
            throw new CommandRefused({ error: `${QUEUE_LIMIT} commands are waiting already.`, code: "queue_full" });
        }
        const entry = { ...command, state: "queued", attempts: 0, queuedAt: Date.now() };
        this.#queue.push(entry);
        this.#save();
        const answer = new Promise((resolve, reject) => this.#answers.set(entry.id, { resolve, reject }));
        answer.catch(() => {}); // a caller need not handle the rejection
        this.#tell("command", { ...entry });
        this.#pump();
        return { id: entry.id, answer };
    }

    /** Sends the next command. Only one is sent at a time, so that they take effect in order. */
    #pump() {
        if (this.#state !== "CONNECTED" || this.#current || this.#timers.has("resend")) return;
        const entry = this.#queue[0];
        if (!entry) return;
        this.#current = entry;
        entry.state = "sent";
        entry.attempts += 1;
        this.#tell("command", { ...entry });
        if (entry.path) return this.#perform(entry);
        this.#say({ id: entry.id, type: entry.type, data: entry.data });
        this.#after("answer", ANSWER_TIMEOUT, () => this.#again());
    }

    async #perform(entry) {
        const { server, token, fetch } = this.#settings;
        const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json", "Idempotency-Key": entry.id };
        let response;
        let body;
        try {
            const signal = AbortSignal.timeout(ANSWER_TIMEOUT);
            response = await fetch(server + entry.path, {
                method: entry.method, headers, body: JSON.stringify(entry.body), signal });
            body = await response.json();
        } catch {
            if (this.#current === entry) this.#again();
            return;
        }
        if (this.#current !== entry) return; // the connection was lost: the command is sent again with the same id
        if (response.ok) return this.#finish(entry, null, body);
        const isWorthwhile = [429, 500, 502, 503, 504].includes(response.status);
        if (isWorthwhile) return this.#again(1000 * Number(response.headers.get("Retry-After") ?? 0));
        this.#finish(entry, { error: body.detail, code: body.code, order: body.order });
    }

    #acknowledged(data) {
        const entry = this.#queue.find((command) => command.id === data.id);
        if (entry) this.#finish(entry, null, { seq: data.seq });
    }

    #refused(data) {
        const entry = this.#queue.find((command) => command.id === data.id);
        if (!entry) return this.#tell("error", data);
        // The command was not carried out, or perhaps was: the same command is sent again before any other.
        if (data.code === "unavailable" || data.code === "rate_limited") return this.#again(data.retry_after_ms);
        this.#finish(entry, data);
    }

    #finish(entry, refusal, value) {
        this.#stop("answer");
        this.#commandFailures = 0;
        if (this.#current === entry) this.#current = null;
        this.#queue = this.#queue.filter((command) => command !== entry);
        this.#save();
        const answer = this.#answers.get(entry.id);
        this.#answers.delete(entry.id);
        if (refusal) answer?.reject(new CommandRefused(refusal));
        else answer?.resolve(value);
        this.#tell("command", { ...entry, state: refusal ? "refused" : "done", sentence: refusal?.error, value });
        this.#pump();
    }

    /** Sends the current command again a little later, since its outcome is unknown. */
    #again(delay) {
        this.#requeue();
        const longest = 1000 * DELAYS[Math.min(this.#commandFailures, DELAYS.length - 1)];
        this.#commandFailures += 1;
        this.#after("resend", delay || longest * (1 - Math.random() / 2), () => this.#pump());
    }

    #requeue() {
        this.#stop("answer");
        const entry = this.#current;
        this.#current = null;
        if (!entry) return;
        entry.state = "queued";
        this.#tell("command", { ...entry });
    }

    #save() {
        this.#settings.storage?.save(this.#queue);
    }

    #say(message) {
        if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
    }

    // MARK: Time

    #after(name, delay, action) {
        this.#stop(name);
        this.#timers.set(name, setTimeout(() => {
            this.#timers.delete(name);
            action();
        }, delay));
    }

    #every(name, interval, action) {
        this.#stop(name);
        this.#timers.set(name, setInterval(action, interval));
    }

    #stop(name) {
        clearTimeout(this.#timers.get(name));
        this.#timers.delete(name);
    }
}
