// The reference: /openapi.json and /asyncapi.json as a page. What the documents say only ever becomes text; their marks for code,
// emphasis and paragraphs become elements.

import { byID, copy, element, notify } from "./page.js";
import { Schemas } from "./schema.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const DIRECTIONS = { receive: "Tablet to server", send: "Server to tablet" };

/** What the filter looks through: { text, entry, section }, entries being in the contents. */
const items = [];

// MARK: Text

/** The inline marks of Markdown that the documents use. */
function inline(text) {
    return String(text).split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)/).map((part) => {
        if (part.length > 2 && part.startsWith("`")) return element("code", {}, part.slice(1, -1));
        if (part.length > 4 && part.startsWith("**")) return element("strong", {}, part.slice(2, -2));
        if (part.length > 2 && part.startsWith("*")) return element("em", {}, part.slice(1, -1));
        return part;
    });
}

const paragraphs = (text) => (text ? String(text).split(/\n\n+/).map((part) => element("p", {}, ...inline(part))) : []);

/** A block to copy from. */
function code(title, text) {
    const button = element("button", {
        class: "quiet", type: "button", "aria-label": `Copy: ${title}`,
        onclick: () => copy(text).then(() => notify("Copied."), (error) => notify(error.message, true)),
    }, "Copy");
    return element("div", { class: "example" },
        element("div", { class: "row" }, element("h4", {}, title), button),
        element("pre", { tabindex: "0", "aria-label": title }, text));
}

/** A table, whose rows are cards on a phone: each cell tells its column. */
function table(columns, rows) {
    return element("table", { class: "fields-table" },
        element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)))),
        element("tbody", {}, ...rows.map((cells) =>
            element("tr", {}, ...cells.map((cell, index) => element("td", { "data-label": columns[index] }, ...[cell].flat()))))));
}

const mark = (isRequired) => (isRequired ? element("span", { class: "required" }, "required") : element("span", { class: "hint" }, "optional"));

function typeCell(schemas, schema) {
    const limits = schemas.limits(schema);
    const type = element("code", {}, schemas.type(schema));
    return limits ? [type, element("small", {}, limits)] : [type];
}

function fieldsTable(schemas, schema) {
    const fields = schemas.fields(schema);
    if (fields.length === 0) return element("p", {}, ...typeCell(schemas, schema));
    return table(["Member", "Type", "Required", "Description"], fields.map(({ name, schema: own, isRequired }) =>
        [element("code", {}, name), typeCell(schemas, own), mark(isRequired), inline(schemas.resolved(own).description ?? "")]));
}

// MARK: Parts of the page

/** A group of the contents and of the reference; returns how to add to it. */
function group(title, description) {
    const list = element("ul", {});
    const heading = element("h2", { class: "group" }, title);
    const part = element("div", { class: "part" }, heading, ...paragraphs(description));
    byID("contents").append(element("div", { class: "part" }, element("h3", {}, title), list));
    byID("main").append(part);
    return (id, label, words, ...content) => {
        const section = element("section", { id, "aria-label": label.textContent }, ...content);
        const entry = element("li", {}, element("a", { href: `#${encodeURI(id)}` }, label));
        list.append(entry);
        part.append(section);
        items.push({ text: words.join(" ").toLowerCase(), entry, section });
    };
}

const label = (method, text) =>
    element("span", { class: "label" }, method ? element("b", { class: `method ${method}` }, method.toUpperCase()) : null, element("span", {}, text));

function heading(id, title, summary) {
    return element("header", {},
        element("h3", {}, title, element("a", { class: "anchor", href: `#${encodeURI(id)}`, "aria-label": "Link to this" }, "#")),
        element("p", { class: "summary" }, ...inline(summary ?? "")));
}

// MARK: Endpoints

function showEndpoints(schemas) {
    const { root } = schemas;
    const groups = new Map(root.tags.map(({ name, description }) => [name, group(name, description)]));
    for (const [path, item] of Object.entries(root.paths)) {
        for (const method of METHODS.filter((name) => item[name])) {
            const operation = item[method];
            const parameters = [...(operation.parameters ?? []), ...(item.parameters ?? [])].map((one) => schemas.resolved(one));
            const id = `${method}-${path}`;
            const body = schemas.resolved(operation.requestBody);
            const bodySchema = body.content?.["application/json"]?.schema;
            const tag = operation.tags?.[0] ?? "other";
            if (!groups.has(tag)) groups.set(tag, group(tag));
            const add = groups.get(tag);
            add(id, label(method, path), [method, path, operation.summary, operation.description, ...operation.tags ?? []],
                heading(id, label(method, path), operation.summary),
                ...paragraphs(operation.description),
                operation.security?.length === 0 ? element("p", { class: "hint" }, "No token is asked for.") : null,
                element("h4", {}, "Parameters"), parametersTable(schemas, parameters),
                ...(bodySchema ? [element("h4", {}, "Body"), ...paragraphs(body.description), fieldsTable(schemas, bodySchema)] : []),
                element("h4", {}, "Answers"), ...responses(schemas, operation),
                operation.responses["101"] ? null : code("With curl", curl(schemas, method, path, operation, parameters, body)));
        }
    }
}

function parametersTable(schemas, parameters) {
    return table(["Name", "In", "Type", "Required", "Description"], parameters.map((one) =>
        [element("code", {}, one.name), one.in, typeCell(schemas, one.schema), mark(one.required), inline(one.description ?? "")]));
}

function responses(schemas, operation) {
    return Object.entries(operation.responses).map(([status, reference]) => {
        const response = schemas.resolved(reference);
        const fields = Object.entries(response.headers ?? {}).map(([name, field]) => [name, schemas.resolved(field)]);
        const name = status === "default" ? "others" : status;
        return element("details", { class: "answer" },
            element("summary", {}, element("b", { class: `status-${status[0]}` }, name), " ", ...inline(response.description ?? "")),
            fields.length === 0 ? null : table(["Field", "Value", "Description"], fields.map(([field, { description, schema }]) =>
                [element("code", {}, field), typeCell(schemas, schema), inline(description ?? "")])),
            ...Object.entries(response.content ?? {}).flatMap(([type, { schema }]) =>
                [element("p", { class: "hint" }, "Content: ", element("code", {}, type)), type.includes("json") ? fieldsTable(schemas, schema) : null]));
    });
}

function curl(schemas, method, path, operation, parameters, body) {
    const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
    const value = (one) => encodeURIComponent(one.example ?? schemas.example(one.schema));
    let target = path;
    for (const one of parameters.filter((one) => one.in === "path")) target = target.replace(`{${one.name}}`, value(one));
    const query = parameters.filter((one) => one.in === "query" && one.required).map((one) => `${one.name}=${value(one)}`);
    const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${quoted(location.origin + target + (query.length ? `?${query.join("&")}` : ""))}`];
    if (operation.security?.length !== 0) lines.push('-H "Authorization: Bearer $FYNLO_TOKEN"');
    const content = body.content?.["application/json"];
    if (content) lines.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(content.example ?? schemas.example(content.schema)))}`);
    return lines.join(" \\\n    ");
}

// MARK: Messages

function showMessages(schemas) {
    const { root } = schemas;
    const target = (reference) => schemas.resolved(reference);
    const operations = Object.values(root.operations);
    const fromTablets = new Set(operations.filter(({ action }) => action === "receive").flatMap(({ messages }) => messages ?? []).map(({ $ref }) => $ref));
    const taken = new Set();
    for (const [direction, title] of Object.entries(DIRECTIONS)) {
        const add = group(title, direction === "receive" ? root.info.description : "");
        for (const [channel, { messages }] of Object.entries(root.channels)) {
            for (const [key, reference] of Object.entries(messages)) {
                const path = `#/channels/${channel}/messages/${key}`;
                if (fromTablets.has(path) !== (direction === "receive")) continue;
                const message = target(reference);
                // Some names are said in both directions.
                const id = taken.has(message.name) ? key : message.name;
                taken.add(message.name);
                const operation = operations.find((one) => one.messages?.some(({ $ref }) => $ref === path));
                const answers = (operation?.reply?.messages ?? []).map((one) => target(one).name);
                add(id, label(null, message.name), [message.name, title, message.summary, message.description],
                    heading(id, label(null, message.name), message.summary),
                    element("p", { class: "hint" }, title, answers.length > 0 && direction === "receive" ? `; answered by ${answers.join(" or ")}` : ""),
                    ...paragraphs(message.description),
                    fieldsTable(schemas, message.payload),
                    ...(message.examples ?? []).map((one) => code(`Example${one.name ? `: ${one.name}` : ""}`, JSON.stringify(one.payload, null, 2))));
            }
        }
    }
}

// MARK: Codes

/** The statuses that go with each error code, as the answers tell them. */
function statuses(value, found = new Map()) {
    if (value === null || typeof value !== "object") return found;
    const { code: codes, status } = value.properties ?? {};
    const values = (schema) => (schema && "const" in schema ? [schema.const] : schema?.enum ?? []);
    for (const name of values(codes)) found.set(name, new Set([...(found.get(name) ?? []), ...values(status)]));
    for (const inner of Object.values(value)) statuses(inner, found);
    return found;
}

function showCodes(schemas, messages) {
    const add = group("Codes");
    const errors = schemas?.root.components?.schemas?.ErrorCode;
    if (errors) {
        const byCode = statuses(schemas.root.components.responses);
        add("error-codes", label(null, "Error codes"), ["error codes", ...errors.enum],
            heading("error-codes", "Error codes", errors.description),
            table(["Code", "Status over HTTP"], errors.enum.map((name) =>
                [element("code", {}, name), [...(byCode.get(name) ?? [])].sort().join(", ") || "–"])));
    }
    const closing = Object.values(messages?.root.channels ?? {}).flatMap((channel) => channel["x-close-codes"] ?? []);
    if (closing.length > 0) {
        add("close-codes", label(null, "Close codes"), ["close codes", ...closing.map(({ code: number, reason }) => `${number} ${reason ?? ""}`)],
            heading("close-codes", "Close codes", "How the server ends a WebSocket, and whether to come back."),
            table(["Code", "Reason", "Reconnect", "Description"], closing.map((one) =>
                [element("code", {}, String(one.code)), one.reason ?? "–", one.reconnect ?? "–", inline(one.description ?? "")])));
    }
}

// MARK: The filter

function filter() {
    const words = byID("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { text, entry, section } of items) {
        const isFound = words.every((word) => text.includes(word));
        entry.hidden = section.hidden = !isFound;
        if (isFound) count += 1;
    }
    for (const part of document.querySelectorAll(".part")) part.hidden = words.length > 0 && !part.querySelector("li:not([hidden]), section:not([hidden])");
    byID("found").textContent = words.length === 0 ? "" : `${count} of ${items.length}`;
}

/** Shows what the address names, which was not there when the page was loaded. */
function goToAnchor() {
    const section = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (section?.hidden) {
        byID("filter").value = "";
        filter();
    }
    section?.scrollIntoView();
}

// MARK: Loading

/** A document, or `null` after saying why there is none. */
async function load(path) {
    try {
        const answer = await fetch(path);
        if (answer.ok) return new Schemas(await answer.json());
        byID("main").append(element("p", { class: "problem", role: "alert" }, answer.status === 404
            ? `${path} is not at this address: the operator has moved it to the listener of FYNLO_ADMIN_LISTEN.`
            : `${path} cannot be had: the server answered ${answer.status}.`));
    } catch {
        byID("main").append(element("p", { class: "problem", role: "alert" }, `${path} cannot be had: the server does not answer. Load the page again.`));
    }
    return null;
}

const [endpoints, messages] = await Promise.all([load("/openapi.json"), load("/asyncapi.json")]);
byID("loading").remove();
if (endpoints) {
    byID("version").textContent = endpoints.root.info.version;
    byID("main").append(element("div", { class: "part" }, element("h2", { class: "group" }, "Endpoints"), ...paragraphs(endpoints.root.info.description)));
    showEndpoints(endpoints);
}
if (messages) showMessages(messages);
if (endpoints || messages) showCodes(endpoints, messages);
byID("filter").addEventListener("input", filter);
byID("filter").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    byID("filter").value = "";
    filter();
});
addEventListener("hashchange", goToAnchor);
filter();
goToAnchor();
