// A kitchen display in a web page: shows what happens in a restaurant, and moves orders on. The page's address names
// the server, as in index.html?server=http://127.0.0.1:8000. Without it, the server is where the page is from.

const server = new URL(new URLSearchParams(location.search).get("server") ?? location.origin).origin;
// The server hands out the client that belongs to its version.
const { FynloClient } = await import(`${server}/client.js`);

const element = (id) => document.getElementById(id);
// What comes from outside is only ever text: textContent makes no elements of it.
const show = (id, text) => { element(id).textContent = text; };
const fields = (form) => Object.fromEntries(new FormData(form));
let client;

element("sign-in").addEventListener("submit", (submit) => {
    submit.preventDefault();
    client?.disconnect();
    // A real display has one name that it keeps, and `storage`, so that its commands survive the page.
    client = new FynloClient({ server, ...fields(submit.target), clientType: "kitchen" });
    client.on("state", ({ state, sentence }) => show("state", sentence ? `${state}: ${sentence}` : state));
    client.on("auth_error", ({ sentence }) => show("state", sentence));
    client.on("event", ({ seq, type, data }) => {
        const line = document.createElement("li");
        line.textContent = `${seq ?? ""} ${type} ${JSON.stringify(data)}`;
        element("events").prepend(line);
    });
    client.on("resync_required", () => show("answer", "Events are missing: load the lists again by REST."));
    client.connect();
});

element("change").addEventListener("submit", async (submit) => {
    submit.preventDefault();
    if (!client) return show("answer", "Connect first.");
    const { order, status } = fields(submit.target);
    try {
        const { seq } = await client.send("order.status_update", { order_id: order, status }).answer;
        show("answer", `Done: event ${seq}.`);
    } catch (refusal) {
        show("answer", refusal.message);
    }
});

show("state", `Ready to connect to ${server}.`);
