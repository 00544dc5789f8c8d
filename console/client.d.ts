// TypeScript declarations for client.js.

/** The version of the server that serves this module. */
export const VERSION: string;

/** Where a client is in its life. */
export type State = "DISCONNECTED" | "CONNECTING" | "AUTHENTICATING" | "CONNECTED" | "RECONNECTING";

/** Every state, in the order in which a connection passes through them. */
export const STATES: State[];

/** A command that the server refused; `message` is the server's sentence. */
export class CommandRefused extends Error {
    constructor(refusal: { error: string; code: string; order?: unknown });
    /** The machine-readable reason. */
    code: string;
    /** The order as it is now, where the contract promises it. */
    order?: unknown;
}

/** A random id of 32 hexadecimal digits. */
export function randomID(): string;

/** A command in the queue. A message has a `type`; a request has a `method` and a `path`. */
export interface Command {
    id: string;
    type?: string;
    data?: unknown;
    method?: string;
    path?: string;
    body?: unknown;
    state: "queued" | "sent" | "done" | "refused";
    attempts: number;
    queuedAt: number;
    /** The answer of a command that is done. */
    value?: unknown;
    /** Why the command was refused. */
    sentence?: string;
}

/** What the constructor takes. */
export interface Settings {
    /** Such as "https://pos.example.com"; the page's origin by default. */
    server?: string;
    token: string;
    user: string;
    restaurant: string;
    /** "pos" by default. */
    clientType?: "pos" | "kitchen" | "management" | "platform";
    /** A new connection of a device replaces its old one. */
    deviceId?: string;
    clientVersion?: string;
    /** Keeps the queue when the page is closed. */
    storage?: { load(): Command[]; save(commands: Command[]): void };
    /** Called for a new token when the old one ends. */
    renewToken?: () => Promise<string>;
    open?: (url: string, protocol: string) => WebSocket;
    fetch?: typeof fetch;
}

/** A message from the server. Only durable events have a `seq`. */
export interface Envelope {
    type: string;
    seq?: number;
    data?: unknown;
    [field: string]: unknown;
}

/** What the listeners of each event are given. */
export interface Events {
    state: { state: State; failures: number; retryAt: number | null; sentence?: string; code?: number; reason?: string; needsToken?: boolean };
    connect: { resumed: boolean; missed: number; seq: number };
    disconnect: { code: number; reason: string; sentence: string };
    event: Envelope;
    /** Events were missed: load the orders by REST. */
    resync_required: { seq: number };
    command: Command;
    /** Only `setToken` helps. */
    auth_error: { code: number; reason: string; sentence: string };
    token_expiring: { seconds: number };
    token_renewed: unknown;
    token_refused: { error: string };
    max_reconnect_attempts: { attempts: number };
    pong: { roundTrip: number | null };
    error: { code: string; error: string };
}

/** A connection that resumes after a loss, and a queue of commands that each take effect once. */
export class FynloClient {
    constructor(settings: Settings);
    /** The last durable event that listeners were given; null before the first connection. */
    lastSequence: number | null;
    /** Failures in a row. */
    failures: number;
    /** When the next attempt is due, in milliseconds since 1970; null when none is. */
    retryAt: number | null;
    /** The duration of the last ping, in milliseconds; null before the first pong. */
    roundTrip: number | null;
    /** When the last pong arrived, in milliseconds since 1970. */
    lastPongAt: number | null;
    /** The data of the server's `authenticated` message; null before it. */
    session: unknown;
    get state(): State;
    get isConnected(): boolean;
    /** Commands without an answer, oldest first. */
    get queue(): Command[];
    /** How far the server's clock is ahead, in milliseconds; null before the first pong. */
    get clockOffset(): number | null;
    get health(): "healthy" | "degraded" | "unhealthy";
    /** Calls `listener` for each event of this name; the function returned ends that. */
    on<Name extends keyof Events>(name: Name, listener: (detail: Events[Name]) => void): () => boolean;
    connect(): void;
    /** Closes the connection and keeps the queue. */
    disconnect(): void;
    networkLost(): void;
    networkRestored(): void;
    setToken(token: string): void;
    /** Queues a message. `answer` rejects with `CommandRefused`; this throws it if the queue is full. */
    send(type: string, data: object): { id: string; answer: Promise<{ seq?: number }> };
    /** Queues a REST request whose id is its Idempotency-Key. */
    request(method: string, path: string, body?: unknown): { id: string; answer: Promise<unknown> };
}
