// Signing in with a pasted token, which stays in this tab, and asking the REST API.

import { byID, element } from "./page.js";

const TOKEN = "fynlo.token";

/** What the server says when it will not; `message` is its own sentence. */
export class Refusal extends Error {
    constructor(sentence, status, code) {
        super(sentence);
        this.status = status;
        this.code = code;
    }

    /** True when nothing was refused: the server is away, or cannot do it just now. */
    get isPassing() { return this.status === 0 || this.status >= 500; }
}

/** When a JWT ends, as Date.now() has it; null if it does not say. The server decides: this is for the words only. */
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
            // A proxy's, perhaps.
        }
        throw new Refusal(problem.detail ?? `The server answered ${response.status}.`, response.status, problem.code);
    }

    get(path) { return this.ask("GET", path); }

    /** Keeps the token for this tab, until it is closed. */
    keep() { sessionStorage.setItem(TOKEN, this.token); }

    forget() { sessionStorage.removeItem(TOKEN); }
}

/** Why a token was refused: what it says of itself first, then the server's sentence. */
export function whyRefused(token, refusal) {
    const end = expiry(token);
    if (refusal.status === 401 && end !== null && end < Date.now()) {
        return `This token expired on ${new Date(end).toLocaleString("en-GB")}: paste a new one.`;
    }
    return refusal.message;
}

/**
 * Shows the form until somebody has signed in, and calls `enter` with the Session. `enter` may throw a Refusal, which is shown.
 * The token of this tab is tried first.
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
            // Who was signed in need not paste it again when the server is back.
            else if (token === sessionStorage.getItem(TOKEN)) setTimeout(() => form.hidden || attempt(token), 3_000);
        } finally {
            button.disabled = false;
        }
    }

    form.addEventListener("submit", (submission) => {
        submission.preventDefault();
        // What a header may not hold was not part of the token.
        attempt(input.value.replace(/[^\x21-\x7e]/g, ""));
    });
    const kept = sessionStorage.getItem(TOKEN);
    if (kept) attempt(kept);
    else {
        form.hidden = false;
        input.focus();
    }
}

/** Forgets the token, and starts the page anew with what there is to say. */
export function signOut(session, sentence) {
    session.forget();
    if (sentence) sessionStorage.setItem("fynlo.farewell", sentence);
    location.reload();
}

/** Shows what the last sign-out had to say, once. */
export function showFarewell() {
    const sentence = sessionStorage.getItem("fynlo.farewell");
    sessionStorage.removeItem("fynlo.farewell");
    if (sentence) byID("sign-in-problem").textContent = sentence;
}

/** A choice of restaurants by name, in `select`; `all`: what stands for all of them, for those who may see them. */
export function fillRestaurants(select, profile, all) {
    const options = profile.restaurants.map(({ id, name }) => element("option", { value: id }, name));
    const wanted = location.hash.slice(1);
    if (all) {
        options.unshift(element("option", { value: "" }, all));
        // Of more restaurants than are told by name.
        const isTold = options.some((option) => option.value === wanted);
        if (!isTold && /^[0-9a-f-]{36}$/.test(wanted)) options.push(element("option", { value: wanted }, wanted));
    }
    select.replaceChildren(...options);
    if (options.some((option) => option.value === wanted)) select.value = wanted;
}
