// What both pages need to show things. Text from the server or from tablets is only ever shown as text: no code in the console
// makes HTML from a string.

/** Makes an element: element("p", { class: "hint", "aria-label": "…", onclick: f }, "text", otherElement). */
export function element(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
        if (value === null || value === undefined || value === false) continue;
        if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
        else if (name === "value") node.value = value;
        else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return node;
}

/** The element of the page with this id. */
export const byID = (id) => document.getElementById(id);

/** Sets a text if it has changed, so that a screen reader does not repeat it. */
export function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

// MARK: Times and numbers

/** A local time, such as 19:05:31. */
export function clockTime(time) {
    return new Date(time).toLocaleTimeString("en-GB");
}

/** "live", or the time of the data. */
export function freshness(isFresh, at) {
    if (isFresh) return "live";
    return at === null ? "not loaded" : `as of ${clockTime(at)}`;
}

/** Says since when there is no connection, why if a more specific reason is known, and the consequence. */
export function lostSentence({ since, wasConnected, reason, consequence }) {
    const what = wasConnected ? "Connection lost at" : "No connection since";
    const why = reason && reason !== "The connection was lost." ? ` ${reason.replace(/[.]?$/, ".")}` : "";
    return `${what} ${clockTime(since)}.${why} ${consequence}`;
}

/** A duration, such as 8 s, 3 min or 2 h 5 min. */
export function duration(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min`;
    const minutes = Math.floor((whole % 3600) / 60);
    if (whole < 86_400) return `${Math.floor(whole / 3600)} h${minutes > 0 ? ` ${minutes} min` : ""}`;
    return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** A number with as many decimals as distinguish it from its neighbours. */
export function figure(number) {
    if (number === null || number === undefined || !Number.isFinite(number)) return "–";
    const decimals = Math.abs(number) >= 100 ? 0 : Math.abs(number) >= 1 ? 1 : 2;
    return number.toLocaleString("en-GB", { maximumFractionDigits: decimals });
}

/** An amount of money, without a currency. */
export function money(amount) {
    return Number(amount).toLocaleString("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

/** Turns `in_words` into "in words". */
export const words = (name) => String(name).replaceAll("_", " ");

/** A number with its noun: 1 order, 2 orders. */
export const count = (number, thing) => `${figure(number)} ${thing}${number === 1 ? "" : "s"}`;

// MARK: Dialogs and notices

/**
 * Asks for confirmation, runs `action` and reports the result. `action` gets the fields' values and returns a sentence. If it
 * throws, the message is shown and the dialog stays open. `fields`: [{ name, label, rows?, required?, maxlength?, type? }].
 */
export function ask({ title, text, fields = [], confirm, isDangerous = false, action }) {
    const inputs = fields.map(({ label, rows, ...field }, index) => {
        const properties = { id: `field-${index}`, autocomplete: "off", ...field };
        const input = rows ? element("textarea", { ...properties, rows }) : element("input", { type: "text", ...properties });
        return { label: element("label", { for: `field-${index}` }, label), input, name: field.name };
    });
    const problem = element("p", { class: "problem", role: "alert" });
    const confirmButton = element("button", { class: isDangerous ? "danger" : "primary", type: "submit" }, confirm);
    const cancelButton = element("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const form = element("form", {},
        element("h2", { id: "dialog-title" }, title),
        text ? element("p", {}, text) : null,
        ...inputs.flatMap(({ label, input }) => [label, input]),
        problem,
        element("div", { class: "buttons" }, cancelButton, confirmButton));
    const dialog = element("dialog", { "aria-labelledby": "dialog-title" }, form);
    const opener = document.activeElement;
    form.addEventListener("submit", async (submission) => {
        submission.preventDefault();
        problem.textContent = "";
        confirmButton.disabled = true;
        try {
            const sentence = await action(Object.fromEntries(inputs.map(({ name, input }) => [name, input.value])));
            dialog.close();
            if (sentence) notify(sentence);
        } catch (error) {
            problem.textContent = error.message;
            confirmButton.disabled = false;
            confirmButton.focus();
        }
    });
    dialog.addEventListener("close", () => {
        dialog.remove();
        if (opener?.isConnected) opener.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
    (inputs[0]?.input ?? confirmButton).focus();
    return dialog;
}

/** Shows a notice for a while; screen readers read it. */
export function notify(sentence, isProblem = false) {
    const notices = byID("notices");
    const notice = element("div", { class: isProblem ? "notice problem" : "notice" },
        element("p", {}, sentence),
        element("button", { class: "quiet", type: "button", "aria-label": "Close this notice", onclick: () => notice.remove() }, "×"));
    notices.append(notice);
    while (notices.children.length > 3) notices.firstChild.remove();
    setTimeout(() => notice.remove(), isProblem ? 20_000 : 8_000);
}

/** Copies a text; without https, with the older browser function. */
export async function copy(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = element("textarea", { class: "unseen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    if (!isCopied) throw new Error("The browser does not allow copying; select the text and copy it yourself.");
}
