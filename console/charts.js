// Line charts of the last fifteen minutes, as SVG. No line is drawn across a gap in the measurements.

import { clockTime, element, figure, setText } from "./page.js";

/** The period shown, in milliseconds. */
export const SPAN = 15 * 60_000;
/** Samples further apart than this are not connected by a line. */
const GAP = 20_000;
const HEIGHT = 132;
const MARGIN = { left: 40, right: 8, top: 8, bottom: 20 };

function svg(tag, properties, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(properties)) node.setAttribute(name, String(value));
    node.append(...children);
    return node;
}

/** Rounds up to 1, 2 or 5 times a power of ten. */
function ceiling(value) {
    if (!(value > 0)) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

export class Chart {
    #series;
    #limit;
    #unit;
    #title;
    #drawing;
    #readings = new Map();
    #when;
    #samples = [];
    #now = Date.now();
    #pointer = null;

    /** In `figureNode`: `series` are { key, label }, `note` explains the numbers; `limit` is the end of the axis, if it is fixed. */
    constructor(figureNode, { title, unit, series, note, limit }) {
        this.#series = series;
        this.#limit = limit;
        this.#unit = unit;
        this.#title = title;
        this.#drawing = svg("svg", { role: "img", height: HEIGHT });
        this.#when = element("span", { class: "when" });
        const legend = element("ul", { class: "legend" }, ...series.map(({ key, label }, place) => {
            const reading = element("b", {}, "–");
            this.#readings.set(key, reading);
            return element("li", { class: `line-${place}` }, element("i", { "aria-hidden": "true" }), `${label} `, reading);
        }));
        figureNode.replaceChildren(
            element("figcaption", {}, element("h3", {}, title, " ", element("small", {}, unit)), this.#when),
            legend, this.#drawing, element("p", { class: "hint" }, note));
        this.#drawing.addEventListener("pointermove", (event) => {
            this.#pointer = event.clientX - this.#drawing.getBoundingClientRect().left;
            this.#draw();
        });
        this.#drawing.addEventListener("pointerleave", () => {
            this.#pointer = null;
            this.#draw();
        });
        new ResizeObserver(() => this.#draw()).observe(this.#drawing);
    }

    /** `samples` are { at, values: { key: number or null } }, in order of time. */
    show(samples) {
        this.#samples = samples;
        this.#now = Date.now();
        this.#draw();
    }

    #draw() {
        const width = this.#drawing.clientWidth;
        if (width < 60) return;
        const plot = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
        const start = this.#now - SPAN;
        const samples = this.#samples.filter((sample) => sample.at >= start);
        const values = samples.flatMap((sample) => this.#series.map(({ key }) => sample.values[key])).filter(Number.isFinite);
        const top = this.#limit ?? ceiling(Math.max(0, ...values));
        const x = (time) => MARGIN.left + ((time - start) / SPAN) * plot.width;
        const y = (value) => MARGIN.top + (1 - Math.min(value, top) / top) * plot.height;
        const parts = [];
        for (const value of [0, top / 2, top]) {
            parts.push(
                svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
                svg("text", { class: "tick", x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, figure(value)));
        }
        for (let time = Math.ceil(start / 300_000) * 300_000; time < this.#now; time += 300_000) {
            if (x(time) < MARGIN.left + 14 || x(time) > width - 20) continue;
            const label = clockTime(time).slice(0, 5);
            parts.push(svg("text", { class: "tick", x: x(time), y: HEIGHT - 4, "text-anchor": "middle" }, label));
        }
        this.#series.forEach(({ key }, place) => {
            parts.push(svg("path", { class: `line-${place}`, d: path(samples, key, x, y) }));
        });
        const shown = this.#read(samples, x);
        if (shown && this.#pointer !== null) {
            parts.push(svg("line", { class: "pointer", x1: x(shown.at), x2: x(shown.at), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }));
        }
        this.#drawing.replaceChildren(...parts);
    }

    /** Shows the numbers and the time of one sample: the one under the pointer, or the last. */
    #read(samples, x) {
        const last = samples.at(-1);
        let shown = last;
        if (this.#pointer !== null) {
            shown = samples.reduce((best, sample) =>
                (Math.abs(x(sample.at) - this.#pointer) < Math.abs(x(best.at) - this.#pointer) ? sample : best), last);
        }
        for (const { key } of this.#series) setText(this.#readings.get(key), figure(shown?.values[key]));
        setText(this.#when, shown ? `at ${clockTime(shown.at)}` : "");
        const readings = this.#series.map(({ key, label }) => `${label} ${figure(shown?.values[key])}`).join(", ");
        const time = shown ? ` at ${clockTime(shown.at)}` : "";
        this.#drawing.setAttribute("aria-label", `${this.#title}, ${this.#unit}, last 15 minutes. ${readings}${time}.`);
        return shown;
    }
}

/** The path of a line, with gaps where samples are missing; a sample without neighbours is a dot. */
function path(samples, key, x, y) {
    let text = "";
    let before = null;
    for (const { at, values } of samples) {
        const value = values[key];
        if (!Number.isFinite(value)) {
            before = null;
            continue;
        }
        const point = `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
        text += before !== null && at - before < GAP ? `L${point}` : `M${point}h.1`;
        before = at;
    }
    return text;
}
