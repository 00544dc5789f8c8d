// The actions of managers in the console. Each asks for confirmation first, and shows a refusal in the server's own words.

import { CommandRefused, randomID } from "./client.js";
import { ask, words } from "./page.js";
import { Refusal } from "./session.js";

/** Moves an order over the open connection, unless somebody else has changed it in the meantime. */
export function moveOrder(client, board, order, status) {
    ask({
        title: `Move order ${order.order_number}?`,
        text: `From ${words(order.status)} to ${words(status)}.`,
        confirm: status === "cancelled" ? "Cancel the order" : `Move to ${words(status)}`,
        isDangerous: status === "cancelled",
        action: async () => {
            if (!client?.isConnected) throw new Refusal("There is no connection: nothing was changed.", 0);
            board.mark(order.id, `${words(status)}: on its way`);
            try {
                const data = { order_id: order.id, status, expected_version: order.version };
                await client.send("order.status_update", data).answer;
            } catch (error) {
                if (!(error instanceof CommandRefused)) throw error;
                const now = error.order ? ` It is ${words(error.order.status)} now.` : "";
                throw new Refusal(error.message + now, 409, error.code);
            } finally {
                board.mark(order.id, null);
            }
            return `Order ${order.order_number} is ${words(status)}.`;
        },
    });
}

/** Closes a tablet's connection. */
export function closeConnection(session, connection) {
    const name = connection.device_id ?? `the ${connection.client_type} client`;
    ask({
        title: `Close the connection of ${name}?`,
        text: "It is told that its access ended (4006), and does not come back by itself.",
        confirm: "Close it",
        isDangerous: true,
        action: async () => {
            await session.ask("DELETE", `/api/v1/websocket/connections/${connection.id}`);
            return `The connection of ${name} is closed.`;
        },
    });
}

/** Sends a notification to every tablet of a restaurant. It is sent once, even if it is confirmed twice. */
export function sendNotification(session, restaurant, name) {
    const key = randomID();
    ask({
        title: `Tell every tablet of ${name}`,
        fields: [
            { name: "title", label: "Title", required: true, maxlength: 100 },
            { name: "message", label: "Message", rows: 3, required: true, maxlength: 1000 },
        ],
        confirm: "Send",
        action: async ({ title, message }) => {
            const body = { restaurant_id: restaurant, title, message };
            const answer = await session.ask("POST", "/api/v1/notifications", { body, headers: { "Idempotency-Key": key } });
            return `Sent to every tablet, as event ${answer.body.seq}.`;
        },
    });
}

/** Makes the servers read a restaurant's menu from the database again. */
export function invalidateMenu(session, restaurant, name) {
    ask({
        title: "Invalidate the menu cache?",
        text: `Every copy of the menu of ${name} is read anew from the database.`,
        confirm: "Invalidate",
        action: async () => {
            const path = `/api/v1/menu/cache/invalidate?restaurant_id=${restaurant}`;
            return `${(await session.ask("POST", path)).body.message}.`;
        },
    });
}

/** Replaces the token, if the server accepts the new one over the open connection. */
export function renewToken(session, client, whyRefused) {
    ask({
        title: "Paste a new token",
        fields: [{ name: "token", label: "Token", type: "password", required: true }],
        confirm: "Use it",
        action: ({ token }) => new Promise((resolve, reject) => {
            const pasted = token.trim();
            const finish = (settle, value) => {
                for (const end of ends) end();
                settle(value);
            };
            const ends = [
                client.on("token_renewed", () => {
                    session.token = pasted;
                    session.keep();
                    finish(resolve, "The new token is in use.");
                }),
                client.on("token_refused", ({ error }) => finish(reject, new Error(whyRefused(pasted, new Refusal(error, 401))))),
                client.on("disconnect", ({ sentence }) => finish(reject, new Error(sentence))),
            ];
            client.setToken(pasted);
        }),
    });
}
