/** The version of the server that serves this module. */
export const VERSION: string;

/** Where a client is in its life. */
export const STATES: readonly string[];

/** The server refused a command. */
export class CommandRefused extends Error {}

/** A UUID. */
export function randomID(): string;

/** The tablet's side of the WebSocket protocol. */
export class FynloClient {
    constructor(options: Record<string, unknown>);
    on(event: string, listener: (detail: any) => void): void;
    connect(): void;
    send(type: string, data: object): { id: string; answer: Promise<{ seq: number }> };
}
