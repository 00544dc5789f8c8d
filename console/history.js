// The last 15 minutes as measured by the servers: each measures the same intervals on its own, and the page adds them up.

import { SPAN } from "./charts.js";
import { clockTime, count } from "./page.js";

/** Percentiles, heartbeats and menu reads combine this many intervals: a minute. */
const WINDOW = 4;

/** The names in the diagnostics' `menu_reads`. */
export const CACHE_LEVELS = new Map([
    ["process", "this server's copy"], ["redis", "Redis"], ["database", "database"], ["bypass", "without Redis"],
    ["stale", "stale"],
]);

export class History {
    /** The last answer of each server: { start, end, history }, with times in milliseconds by the servers' clocks. */
    #servers = new Map();
    /** The known servers that did not answer the last time, and those that answered with data. */
    #missing = new Set();
    #present = [];
    /** How far the server's clock is behind this one, in milliseconds. */
    #offset = 0;
    #older = 0;

    /** Forgets everything, for another restaurant. */
    clear() {
        this.#servers.clear();
        this.#missing.clear();
        this.#present = [];
        this.#older = 0;
    }

    /** Takes an answer of `GET /api/v1/websocket/diagnostics?history=true`. */
    take(report) {
        this.#offset = Date.now() - Date.parse(report.time);
        const answers = [report, ...report.nodes];
        this.#older = answers.filter(({ history }) => !history).length;
        this.#present = [];
        for (const { node, history } of answers) {
            if (!history?.start) continue;
            const start = Date.parse(history.start);
            this.#present.push(node);
            this.#servers.set(node, { start, end: start + history.messages.length * history.interval_ms, history });
        }
        for (const [node, { end }] of this.#servers) {
            if (end < Date.parse(report.time) - SPAN) this.#servers.delete(node);
            const silent = report.silent_nodes?.includes(node) ?? true;
            if (silent && !this.#present.includes(node)) this.#missing.add(node);
            else this.#missing.delete(node);
        }
    }

    /**
     * The samples [{ at, values }] of the charts, in order: `at` is the end of an interval by this page's clock. `values` is empty
     * if the measurements of some server are missing, because their sum would be too low.
     */
    get samples() {
        const servers = [...this.#servers.values()];
        if (servers.length === 0) return [];
        const interval = servers[0].history.interval_ms;
        const from = Math.min(...servers.map(({ start }) => start));
        // A server may be asked a moment before the others have measured an interval.
        const ends = this.#present.map((node) => this.#servers.get(node).end);
        const to = ends.length > 0 ? Math.min(...ends) : Math.max(...servers.map(({ end }) => end));
        const sums = [];
        for (let time = from; time < to; time += interval) sums.push(this.#sum(time, interval));
        return sums.map((sum, place) => ({
            at: from + (place + 1) * interval + this.#offset,
            values: sum ? values(sum, sums.slice(Math.max(0, place + 1 - WINDOW), place + 1).filter(Boolean), interval) : {},
        }));
    }

    /** The counts of all servers in the interval that begins at `time`; null if some are unknown. */
    #sum(time, interval) {
        const sum = { messages: 0, received: 0, expected: 0, reads: {}, deliveries: [], bounds: [] };
        let isMeasured = false;
        for (const [node, { start, history }] of this.#servers) {
            const place = Math.round((time - start) / interval);
            if (place < 0) continue;
            if (place >= history.messages.length) {
                if (this.#missing.has(node)) return null;
                // The server has stopped.
                continue;
            }
            if (history.messages[place] === null) return null;
            isMeasured = true;
            sum.messages += history.messages[place];
            sum.received += history.heartbeats_received[place];
            sum.expected += history.heartbeats_expected[place];
            for (const [level, column] of Object.entries(history.menu_reads)) sum.reads[level] = (sum.reads[level] ?? 0) + column[place];
            for (const [bucket, number] of history.deliveries[place]) sum.deliveries[bucket] = (sum.deliveries[bucket] ?? 0) + number;
            sum.bounds = history.delivery_bounds_ms;
        }
        return isMeasured ? sum : null;
    }

    /** Notes on the charts, as sentences; empty if there are none. */
    get note() {
        const notes = [];
        const ends = [...this.#missing].map((node) => this.#servers.get(node)?.end).filter(Boolean);
        if (ends.length > 0) {
            notes.push(`Nothing is drawn from ${clockTime(Math.min(...ends) + this.#offset)} on, as long as a server does not answer.`);
        }
        if (this.#older > 0) notes.push(`${count(this.#older, "server")} of an older version: not in the charts.`);
        const latest = Math.max(...this.#present.map((node) => this.#servers.get(node).start));
        const first = Math.min(...[...this.#servers.values()].map(({ start }) => start));
        // The starts of servers that have run for longer differ by an interval at most.
        if (latest > first + 60_000) {
            notes.push(`One of the servers began at ${clockTime(latest + this.#offset)}: what another one did in its place before may be missing.`);
        }
        return notes.join(" ");
    }
}

/** The numbers of one interval; `minute` holds it and the intervals before it. */
function values(sum, minute, interval) {
    const total = (pick) => minute.reduce((all, each) => all + (pick(each) ?? 0), 0);
    const expected = total((each) => each.expected);
    const deliveries = sum.bounds.concat(Infinity).map((_, bucket) => total((each) => each.deliveries[bucket]));
    const result = {
        messages: (1000 * sum.messages) / interval, events: deliveries.reduce((all, number) => all + number, 0),
        heartbeats: expected > 0 ? Math.min(100, (100 * total((each) => each.received)) / expected) : null,
    };
    for (const part of [50, 95, 99]) result[`p${part}`] = percentile(deliveries, sum.bounds, part / 100);
    for (const level of CACHE_LEVELS.keys()) {
        result[level] = (60_000 * total((each) => each.reads[level])) / (minute.length * interval);
    }
    return result;
}

/** A quantile of counts in buckets, interpolated within its bucket; the last bound if it lies beyond. null without counts. */
export function percentile(counts, bounds, part) {
    const rank = part * counts.reduce((all, number) => all + number, 0);
    if (rank === 0) return null;
    let below = 0;
    for (const [place, bound] of bounds.entries()) {
        const lower = place > 0 ? bounds[place - 1] : 0;
        if (counts[place] > 0 && below + counts[place] >= rank) return lower + ((bound - lower) * (rank - below)) / counts[place];
        below += counts[place];
    }
    return bounds.at(-1);
}
