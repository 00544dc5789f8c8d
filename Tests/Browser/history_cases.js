// How the console adds up what servers have measured: run in a page, with the module's address as the first argument; returns what is
// not as it should be.

const { History, percentile } = await import(arguments[0]);
const faults = [];
const expect = (what, found, wanted) => {
    const rounded = (value) => JSON.stringify(value, (_, each) => (typeof each === "number" ? +each.toFixed(6) : each));
    if (rounded(found) !== rounded(wanted)) faults.push(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
};

const BOUNDS = [0.5, 1, 2, 5];
const NOON = Date.UTC(2026, 0, 31, 12);

/** What a server tells: from its first interval on, messages in each. */
function told(first, messages, more = {}) {
    const zeros = messages.map((number) => (number === null ? null : 0));
    return {
        interval_ms: 15_000, start: messages.length > 0 ? new Date(NOON + 15_000 * first).toISOString() : null, messages,
        heartbeats_received: zeros, heartbeats_expected: zeros, menu_reads: {}, delivery_bounds_ms: BOUNDS,
        deliveries: messages.map((number) => (number === null ? null : [])), ...more };
}

/** An answer at the end of an interval. */
function answer(interval, histories, silent = []) {
    const [own, ...nodes] = Object.entries(histories).map(([node, history]) => ({ node, history }));
    return { time: new Date(NOON + 15_000 * interval).toISOString(), ...own, nodes, silent_nodes: silent };
}

/** Messages per interval, after these answers; "-" where nothing is drawn. */
function messages(...answers) {
    const history = new History();
    for (const each of answers) history.take(each);
    return history.samples.map(({ values }) => ("messages" in values ? 15 * values.messages : "-"));
}

expect("one server", messages(answer(3, { a: told(0, [15, 0, 30]) })), [15, 0, 30]);
expect("nothing measured yet", messages(answer(3, { a: told(0, []) })), []);
expect("not measured", messages(answer(3, { a: told(0, [15, null, 30]) })), [15, "-", 30]);
expect("two servers", messages(answer(3, { a: told(0, [15, 15, 15]), b: told(0, [30, 0, 45]) })), [45, 15, 60]);
expect("one that came later", messages(answer(3, { a: told(0, [15, 15, 15]), b: told(2, [30]) })), [15, 15, 45]);
expect("one that has just come", messages(answer(3, { a: told(0, [15, 15, 15]), b: told(0, []) })), [15, 15, 15]);
expect("asked in between", messages(answer(3, { a: told(0, [15, 15, 15]), b: told(0, [30, 30]) })), [45, 45]);
expect("an older version", messages(answer(3, { a: told(0, [15, 15]), b: undefined })), [15, 15]);
const both = answer(2, { a: told(0, [15, 15]), b: told(0, [30, 30]) });
const alone = { a: told(0, [15, 15, 15, 15]) };
expect("one that is silent", messages(both, answer(4, alone, ["b"])), [45, 45, "-", "-"]);
expect("Redis away", messages(both, answer(4, alone, null)), [45, 45, "-", "-"]);
expect("one that is gone", messages(both, answer(4, alone)), [45, 45, 15, 15]);
expect("one that is back", messages(both, answer(4, alone, ["b"]), answer(4, { ...alone, b: told(0, [30, 30, 0, 0]) })), [45, 45, 15, 15]);
expect("restarted", messages(answer(2, { a: told(0, [15, 15]) }), answer(5, { c: told(4, [30]) })), [15, 15, "-", "-", 30]);
expect("just restarted", messages(answer(2, { a: told(0, [15, 15]) }), answer(5, { c: told(0, []) })), [15, 15]);
expect("long ago", messages(answer(2, { a: told(0, [15, 15]) }), answer(100, { c: told(99, [30]) })), [30]);

const history = new History();
history.take(answer(6, { a: told(0, [1, 1, null, 1, 1, 1], {
    heartbeats_received: [1, 2, null, 3, 4, 5], heartbeats_expected: [4, 4, null, 4, 4, 4],
    menu_reads: { process: [0, 6, null, 0, 0, 3] }, deliveries: [[], [[1, 10]], null, [], [[3, 10]], [[4, 1]]] }) }));
const values = history.samples.map((sample) => sample.values);
expect("heartbeats of a minute", values.map(({ heartbeats }) => heartbeats), [25, 37.5, undefined, 50, 75, 100]);
expect("menu reads of a minute", values.map(({ process, redis }) => [process, redis]),
    [[0, 0], [12, 0], [null, null], [8, 0], [8, 0], [4, 0]]);
expect("deliveries of a minute", values.map(({ p50, p99, events }) => [p50, p99, events]),
    [[null, null, 0], [0.75, 0.995, 10], [null, null, null], [0.75, 0.995, 10], [1, 4.94, 20], [3.65, 5, 11]]);
expect("the last moment", Math.round((history.samples.at(-1).at - Date.now()) / 1000), 0);

for (const [counts, part, wanted] of [
    [[], 0.5, null], [[0, 0, 0, 0, 0], 0.99, null], [[10, 0, 0, 0, 0], 0.5, 0.25], [[0, 0, 0, 0, 3], 0.5, 5], [[1, 0, 0, 1, 0], 0.5, 0.5],
    [[0, 4, 4, 0, 0], 0.75, 1.5],
]) {
    expect(`percentile ${part} of ${counts}`, percentile(counts, BOUNDS, part), wanted);
}
expect("no note", history.note, "");
history.take(answer(6, { a: told(0, [1, 1, 1, 1, 1, 1]), b: told(5, [1]), c: undefined }));
expect("notes", [/^1 server of an older version: not in the charts\. One of the servers began at \d\d:\d\d:\d\d:/.test(history.note)], [true]);
history.clear();
expect("cleared", [history.samples, history.note], [[], ""]);

return faults;
