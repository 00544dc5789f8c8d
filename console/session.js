// Signing in with a pasted token, which stays in this tab, and requests to the REST API.

import { byID, element } from "./page.js";

const TOKEN = "fynlo.token";

/** A request that was refused or failed; `message` is the server's own sentence if it sent one. */
export class Refusal extends Error {
    constructor(sentence, status, code) {
        super(sentence);
        this.status = status;
        this.code = code;
    }

    /** True if the request was not refused, but the server cannot be reached or cannot answer now. */
    get isPassing() { return this.status === 0 || this.status >= 500; }
}

/** When a JWT expires, in the time of Date.now(); null if it does not say. For display only: the server decides. */
function expiry(token) {
    try {
        const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
        return typeof claims.exp === "number" ? claims.exp * 1000 : null;
    } catch {
        return null;
    }
}

/** A person who has signed in. */
export class Session {
    constructor(token, fetch = (...request) => window.fetch(...request)) {
        this.token = token;
        this.fetch = fetch;
        /** GET /api/v1/me */
        this.profile = null;
    }

    get isPlatformOwner() { return this.profile.role === "platform_owner"; }

    /** Sends a request; resolves to { body, headers }, or throws a Refusal. */
    async ask(method, path, { body, headers = {}, accept = "application/json" } = {}) {
        const fields = { Authorization: `Bearer ${this.token}`, Accept: accept, ...headers };
        if (body !== undefined) fields["Content-Type"] = "application/json";
        let response;
        let text;
        try {
            response = await this.fetch(path, {
                method, headers: fields, body: body === undefined ? undefined : JSON.stringify(body),
                signal: AbortSignal.timeout(15_000) });
            text = await response.text();
        } catch {
            throw new Refusal("The server cannot be reached.", 0, "unreachable");
        }
        if (response.ok) {
            const isJSON = response.headers.get("Content-Type")?.startsWith("application/json");
            return { body: isJSON ? JSON.parse(text) : text, headers: response.headers };
        }
        let problem = {};
        try {
            problem = JSON.parse(text);
        } catch {
            // The answer may come from a proxy.
        }
        throw new Refusal(problem.detail ?? `The server answered ${response.status}.`, response.status, problem.code);
    }

    get(path) { return this.ask("GET", path); }

    /** Keeps the token for this tab, until it is closed. */
    keep() { sessionStorage.setItem(TOKEN, this.token); }

    forget() { sessionStorage.removeItem(TOKEN); }
}

/** Why a token was refused: that it has expired if it says so, else the server's sentence. */
export function whyRefused(token, refusal) {
    const end = expiry(token);
    if (refusal.status === 401 && end !== null && end < Date.now()) {
        return `This token expired on ${new Date(end).toLocaleString("en-GB")}: paste a new one.`;
    }
    return refusal.message;
}

/**
 * Shows the form until the user has signed in, and calls `enter` with the Session. `enter` may throw a Refusal, which is shown.
 * The tab's own token is tried first.
 */
export function signIn(enter, { fetch } = {}) {
    const [form, input, problem] = [byID("sign-in"), byID("token"), byID("sign-in-problem")];
    const button = form.querySelector("button");

    async function attempt(token) {
        button.disabled = true;
        problem.textContent = "";
        const session = new Session(token, fetch);
        try {
            session.profile = (await session.get("/api/v1/me")).body;
            await enter(session);
            session.keep();
            input.value = "";
            form.hidden = true;
        } catch (error) {
            if (!(error instanceof Refusal)) throw error;
            form.hidden = false;
            problem.textContent = whyRefused(token, error);
            input.focus();
            if (!error.isPassing) session.forget();
            // The user need not paste the token again when the server is back.
            else if (token === sessionStorage.getItem(TOKEN)) setTimeout(() => form.hidden || attempt(token), 3_000);
        } finally {
            button.disabled = false;
        }
    }

    form.addEventListener("submit", (submission) => {
        submission.preventDefault();
        // Characters that a header cannot contain are not part of the token.
        attempt(input.value.replace(/[^\x21-\x7e]/g, ""));
    });
    const kept = sessionStorage.getItem(TOKEN);
    if (kept) attempt(kept);
    else {
        form.hidden = false;
        input.focus();
    }
}

/** Forgets the token and reloads the page, which then shows `sentence`. */
export function signOut(session, sentence) {
    session.forget();
    if (sentence) sessionStorage.setItem("fynlo.farewell", sentence);
    location.reload();
}

/** Shows the sentence of the last sign-out, once. */
export function showFarewell() {
    const sentence = sessionStorage.getItem("fynlo.farewell");
    sessionStorage.removeItem("fynlo.farewell");
    if (sentence) byID("sign-in-problem").textContent = sentence;
}

/** Fills `select` with restaurants by name; `all` is the label of the choice of all of them, for users who may see them. */
export function fillRestaurants(select, profile, all) {
    const options = profile.restaurants.map(({ id, name }) => element("option", { value: id }, name));
    const wanted = location.hash.slice(1);
    if (all) {
        options.unshift(element("option", { value: "" }, all));
        // The server does not list the names of all restaurants.
        const isTold = options.some((option) => option.value === wanted);
        if (!isTold && /^[0-9a-f-]{36}$/.test(wanted)) options.push(element("option", { value: wanted }, wanted));
    }
    select.replaceChildren(...options);
    if (options.some((option) => option.value === wanted)) select.value = wanted;
}
