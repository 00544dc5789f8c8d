// A restaurant's event stream, live, newest first.

import { clockTime, element, words } from "./page.js";

/** The largest number of events on the page. */
const LIMIT = 100;

export class EventStream {
    #list;

    constructor(list) {
        this.#list = list;
    }

    get isEmpty() { return this.#list.children.length === 0; }

    clear() { this.#list.replaceChildren(); }

    /** Adds earlier events, in order. Events that the page already has are not added twice. */
    begin(events) {
        const shown = new Set(Array.from(this.#list.children, (entry) => entry.dataset.seq));
        const older = events.filter((event) => !shown.has(String(event.seq)));
        this.#list.append(...older.reverse().map((event) => entry(event)));
    }

    add(event) {
        const node = entry(event);
        node.classList.add("new");
        this.#list.prepend(node);
        while (this.#list.children.length > LIMIT) this.#list.lastChild.remove();
    }
}

function entry(event) {
    return element("li", { "data-seq": event.seq ?? null, "data-type": event.type },
        element("time", { datetime: event.timestamp }, clockTime(Date.parse(event.timestamp))),
        element("span", { class: "kind" }, event.type),
        element("span", { class: "what" }, sentence(event)),
        element("span", { class: "seq" }, event.seq ? `${event.seq}` : "passing"));
}

/** Describes an event in words. */
function sentence({ type, data }) {
    switch (type) {
    case "order.status_changed": return `Order ${data.order_number}: ${words(data.old_status)} → ${words(data.status)}`;
    case "order.created": return `Order ${data.order_number} is new: ${words(data.status)}`;
    case "order.updated": return `Order ${data.order_number} was changed`;
    case "order.deleted": return `Order ${data.order_number} was deleted`;
    case "menu.updated": return `The menu is version ${data.version} now`;
    case "system.notification": return `${data.title}: ${data.message}`;
    default: {
        const parts = Object.entries(data).map(([name, value]) => `${words(name)} ${typeof value === "object" ? JSON.stringify(value) : value}`);
        return parts.join(", ").slice(0, 300) || "–";
    }
    }
}
