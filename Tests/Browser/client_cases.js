// Tests of the rules of console/client.js: console_tests.py runs them in a page, with the clock and the socket defined here.
// `arguments[0]` is the module's path. Returns one sentence per failure.

const problems = [];
const module = await import(arguments[0]);

/** Sockets that do nothing by themselves, and time that stands still until it is moved. */
class World {
    now = 0;
    due = [];
    sockets = [];
    told = [];

    constructor(settings = {}) {
        World.current = this;
        this.client = new module.FynloClient({
            server: "https://pos.example", token: "t", user: "u", restaurant: "r", deviceId: "d",
            open: (url, protocol) => this.open(url, protocol), ...settings });
        for (const name of ["state", "event", "connect", "disconnect", "resync_required", "command", "auth_error",
            "token_expiring", "token_renewed", "token_refused", "max_reconnect_attempts"]) {
            this.client.on(name, (detail) => this.told.push([name, detail]));
        }
    }

    open(url, protocol) {
        const socket = { url, protocol, readyState: 0, sent: [], closed: null };
        socket.send = (text) => socket.sent.push(JSON.parse(text));
        socket.close = (code) => { socket.closed = code; socket.readyState = 3; };
        this.sockets.push(socket);
        return socket;
    }

    get socket() { return this.sockets.at(-1); }

    names(name) { return this.told.filter(([told]) => told === name).map(([, detail]) => detail); }

    sent(type) { return this.sockets.flatMap((socket) => socket.sent).filter((message) => message.type === type); }

    say(type, data, more = {}) {
        this.socket.onmessage({ data: JSON.stringify({ type, data, ...more }) });
    }

    opened() {
        this.socket.readyState = 1;
        this.socket.onopen();
    }

    /** Up to `authenticated`. */
    enter(data = {}) {
        this.client.connect();
        this.opened();
        this.say("authenticated", { seq: 7, resumed: false, heartbeat_interval_ms: 15_000, ...data });
        return this;
    }

    end(code, reason = "") {
        const socket = this.socket;
        socket.readyState = 3;
        socket.onclose({ code, reason });
    }

    /** Lets time pass, and does what is due. */
    async pass(milliseconds) {
        const end = this.now + milliseconds;
        for (;;) {
            await null;
            const next = this.due.filter(({ at }) => at <= end).sort((one, other) => one.at - other.at)[0];
            if (!next) break;
            this.now = next.at;
            if (next.every) next.at += next.every;
            else this.due.splice(this.due.indexOf(next), 1);
            next.action();
        }
        this.now = end;
    }
}

const real = { setTimeout, setInterval, clearTimeout, now: Date.now, performanceNow: performance.now, random: Math.random };
let numbers = 0;
window.setTimeout = (action, delay) => {
    numbers += 1;
    World.current.due.push({ number: numbers, at: World.current.now + delay, action });
    return numbers;
};
window.setInterval = (action, every) => {
    numbers += 1;
    World.current.due.push({ number: numbers, at: World.current.now + every, every, action });
    return numbers;
};
window.clearTimeout = (number) => { World.current.due = World.current.due.filter((entry) => entry.number !== number); };
Date.now = () => 1_800_000_000_000 + World.current.now;
performance.now = () => World.current.now;
Math.random = () => 0;

function expect(what, found, wanted) {
    const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)];
    if (one !== other) problems.push(`${what}: ${one} instead of ${other}`);
}

try {
    // The contract's table of close codes.
    const table = [
        [1000, "DISCONNECTED"], [1001, "RECONNECTING"], [1002, "DISCONNECTED"], [1003, "DISCONNECTED"], [1005, "RECONNECTING"],
        [1006, "RECONNECTING"], [1007, "DISCONNECTED"], [1009, "DISCONNECTED"], [1011, "RECONNECTING"], [4000, "RECONNECTING"],
        [4001, "needs a token"], [4002, "needs a token"], [4003, "needs a token"], [4004, "RECONNECTING"],
        [4005, "needs a token"], [4006, "DISCONNECTED"], [4008, "RECONNECTING"], [4010, "RECONNECTING"], [4011, "DISCONNECTED"],
    ];
    for (const [code, wanted] of table) {
        const world = new World().enter();
        world.end(code);
        await world.pass(0);
        expect(`after ${code}`, world.names("auth_error").length > 0 ? "needs a token" : world.client.state, wanted);
        const comesBack = wanted === "RECONNECTING";
        await world.pass(comesBack ? 1_000 : 60_000);
        expect(`connections after ${code}`, world.sockets.length, comesBack ? 2 : 1);
    }

    // What is said first, and the address.
    let world = new World().enter();
    expect("the address", world.socket.url, "wss://pos.example/api/v1/websocket/ws/pos/r");
    expect("the protocol", world.socket.protocol, "fynlo.v1");
    expect("the first message", world.socket.sent[0], {
        type: "authenticate", data: { token: "t", user_id: "u", restaurant_id: "r", device_id: "d" } });
    expect("the states", world.names("state").map(({ state }) => state), ["CONNECTING", "AUTHENTICATING", "CONNECTED"]);
    world.client.connect();
    expect("one connection only", world.sockets.length, 1);

    // Events, each once, in order, over connections.
    world.say("order.created", {}, { seq: 8 });
    world.say("order.updated", {}, { seq: 8 });
    world.say("order.updated", {}, { seq: 9 });
    world.say("kitchen.item_ready", {});
    world.say("order.updated", {}, { seq: 3 });
    expect("events", world.names("event").map(({ seq }) => seq ?? "transient"), [8, 9, "transient"]);
    world.end(1006);
    await world.pass(2_000);
    world.opened();
    expect("last_seq", world.socket.sent[0].data.last_seq, 9);
    world.say("authenticated", { seq: 12, resumed: true });
    expect("missed", world.names("connect").at(-1), { resumed: true, missed: 3, seq: 12 });
    for (const seq of [10, 11, 12]) world.say("order.updated", {}, { seq });
    expect("after the resume", world.client.lastSequence, 12);
    world.say("resync_required", { seq: 40 });
    world.say("order.updated", {}, { seq: 40 });
    world.say("order.updated", {}, { seq: 41 });
    expect("after a resync", [world.names("resync_required").length, world.client.lastSequence], [1, 41]);

    // Back-off: 1, 2, 4, 8, 16, 30, 30 … less up to a half; ten failures are told; it is reset.
    world = new World().enter();
    const waits = [];
    for (let failure = 0; failure < 12; failure += 1) {
        world.end(1006);
        waits.push(world.client.retryAt - Date.now());
        await world.pass(waits.at(-1));
    }
    expect("the delays", waits, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30].map((seconds) => seconds * 1000));
    expect("ten failures", world.names("max_reconnect_attempts"), [{ attempts: 10 }]);
    world.opened();
    world.say("authenticated", { seq: 7, resumed: true });
    Math.random = () => 0.999999;
    world.end(1006);
    expect("reset, and the shortest", Math.round(world.client.retryAt - Date.now()), 500);
    Math.random = () => 0;

    // Drains and limits say when.
    world = new World().enter();
    world.say("reconnect", { retry_after_ms: 9_000 });
    world.end(1001);
    expect("a drain's slot", world.client.retryAt - Date.now(), 9_000);
    world = new World();
    world.client.connect();
    world.opened();
    world.say("auth_error", { error: "Connection limit exceeded", code: "connection_limit", retryable: true, retry_after_ms: 5_000 });
    world.end(4003);
    expect("a limit's", [world.client.state, world.client.retryAt - Date.now()], ["RECONNECTING", 5_000]);
    expect("a limit's sentence", world.names("state").at(-1).sentence, "Connection limit exceeded");

    // A refused token: renewed once, where that is possible.
    world = new World({ renewToken: async () => "new" });
    world.client.connect();
    world.opened();
    world.say("auth_error", { error: "Invalid authentication token", code: "invalid_token", retryable: false });
    world.end(4003);
    await world.pass(0);
    world.opened();
    expect("the new token", world.socket.sent[0].data.token, "new");
    world = new World().enter();
    world.say("token_expired", { seconds_until_expiry: 300 });
    world.client.setToken("newer");
    expect("reauth", world.socket.sent.at(-1), { type: "reauth", data: { token: "newer" } });
    world.say("auth_error", { error: "Invalid authentication token", code: "invalid_token", retryable: false });
    expect("a refused one", [world.client.state, world.names("token_refused").length], ["CONNECTED", 1]);
    world.say("authenticated", { seq: 7, resumed: false });
    expect("an accepted one", [world.names("token_renewed").length, world.names("connect").length], [1, 1]);
    expect("the warning", world.names("token_expiring"), [{ seconds: 300 }]);

    // Heartbeat: a ping at once and every 15 s with last_seq; three without an answer in 5 s are the end (4004).
    world = new World().enter();
    expect("the first ping", world.sent("ping").map(({ data }) => data.last_seq), [7]);
    world.now += 40;
    world.say("pong", { timestamp: new Date(Date.now() + 1_000).toISOString(), echo: world.sent("ping")[0].data });
    expect("the round trip", [world.client.roundTrip, world.client.clockOffset, world.client.health], [40, 1_020, "healthy"]);
    await world.pass(15_000);
    expect("the next ping", world.sent("ping").at(-1).data.rtt_ms, 40);
    await world.pass(29_000);
    expect("not yet", world.client.state, "CONNECTED");
    await world.pass(6_100);
    expect("given up", [world.client.state, world.names("disconnect").at(-1)?.code, world.sockets[0].closed],
        ["RECONNECTING", 4004, 4004]);
    world = new World().enter();
    world.say("ping", { timestamp: "x" });
    expect("the server's ping", world.sent("pong").length, 1);

    // Limits of waiting.
    world = new World();
    world.client.connect();
    await world.pass(10_000);
    expect("a connection that does not come", [world.client.state, world.sockets[0].closed], ["RECONNECTING", 1000]);
    await world.pass(1_000);
    world.opened();
    await world.pass(10_000);
    expect("an answer that does not come", world.client.state, "RECONNECTING");

    // Commands: kept while away, in order, one at a time, under the same id until they are answered.
    let kept = [];
    const storage = { load: () => [], save: (queue) => { kept = JSON.parse(JSON.stringify(queue)); } };
    world = new World({ storage });
    const first = world.client.send("order.status_update", { n: 1 });
    const second = world.client.send("order.status_update", { n: 2 });
    expect("kept", kept.map(({ data }) => data.n), [1, 2]);
    world.enter();
    expect("one at a time", world.sent("order.status_update").map(({ id }) => id), [first.id]);
    world.end(1006);
    await world.pass(1_000);
    world.opened();
    world.say("authenticated", { seq: 7, resumed: true });
    world.say("error", { id: first.id, code: "unavailable", error: "The database is unavailable.", retry_after_ms: 3_000 });
    await world.pass(2_999);
    expect("not before it may", world.sent("order.status_update").length, 2);
    await world.pass(1);
    world.say("ack", { id: first.id, seq: 8 });
    expect("the answer", await first.answer, { seq: 8 });
    expect("the same id again, then the next",
        world.sent("order.status_update").map(({ id }) => id), [first.id, first.id, first.id, second.id]);
    await world.pass(11_000);
    world.say("error", { id: second.id, code: "invalid_transition", error: "No.", order: { status: "served" } });
    const refusal = await second.answer.catch((error) => error);
    expect("the refusal", [refusal.message, refusal.code, refusal.order], ["No.", "invalid_transition", { status: "served" }]);
    expect("nothing is left", [world.client.queue, kept], [[], []]);
    world = new World({ storage: { load: () => [{ id: "a", type: "order.status_update", data: {}, state: "sent", attempts: 1 }], save() {} } });
    world.enter();
    expect("of a page before", world.sent("order.status_update").map(({ id }) => id), ["a"]);

    // Requests go the same way.
    const answers = [null, { status: 503, body: {} }, { status: 201, body: { order_number: "7" } }];
    const asked = [];
    world = new World({ fetch: async (url, { method, headers, body }) => {
        asked.push([url, method, headers["Idempotency-Key"], JSON.parse(body)]);
        const answer = answers.shift();
        if (!answer) throw new TypeError("gone");
        return { ok: answer.status < 300, status: answer.status, headers: new Headers(), json: async () => answer.body };
    } });
    world.enter();
    const order = world.client.request("POST", "/api/v1/orders", { a: 1 });
    await world.pass(10_000);
    expect("the order", await order.answer, { order_number: "7" });
    expect("asked thrice, the same", asked,
        Array(3).fill(["https://pos.example/api/v1/orders", "POST", order.id, { a: 1 }]));

    // Everything is released.
    world = new World().enter();
    world.client.disconnect();
    expect("released", [world.client.state, world.due.length, world.socket.closed, world.socket.onclose], ["DISCONNECTED", 0, 1000, null]);
    world.client.networkRestored();
    expect("and stays so", world.sockets.length, 1);

    // The system reports that the network is gone or back.
    world = new World().enter();
    world.client.networkLost();
    expect("lost", [world.client.state, world.sockets[0].onclose], ["RECONNECTING", null]);
    world.client.networkRestored();
    expect("at once", world.sockets.length, 2);
    world.opened();
    world.say("authenticated", { seq: 7, resumed: true });
    world.client.networkRestored();
    await world.pass(5_000);
    expect("asked, and no answer", world.client.state, "RECONNECTING");
} catch (error) {
    problems.push(String(error.stack));
} finally {
    Object.assign(window, { setTimeout: real.setTimeout, setInterval: real.setInterval, clearTimeout: real.clearTimeout });
    Date.now = real.now;
    performance.now = real.performanceNow;
    Math.random = real.random;
}
return problems;
