// What the scenarios of a load test have in common, and what they look for in a message.

import FynloCore
import FynloIO

/// What happens once all are connected.
protocol LoadScenario: AnyObject {
    /// The run it is a part of, which outlives it.
    func attach(to run: LoadRun)
    /// True when it speaks and listens itself, message by message; false: connections keep their ClientStack, with its
    /// heartbeat.
    var takesWebSockets: Bool { get }
    /// All are in, or have failed: the measurement begins.
    func begin(now: Moment)
    /// A message came, on a connection of its own.
    func received(_ text: Span<UInt8>, on connection: LoadConnection, now: Moment)
    /// A ClientStack's ping was answered, or (`nil`) was not in time.
    func heartbeat(_ roundTrip: Duration?)
    /// A connection is in (again).
    func joined(_ connection: LoadConnection, now: Moment)
    /// A connection has ended. True if that is no loss, since it will be back.
    func ended(_ connection: LoadConnection, closure: ClientClosure?, now: Moment) -> Bool
    /// About every 2 ms where it asks for it, else every 100 ms. True when the measurement is over.
    func tick(now: Moment) -> Bool
    /// The line of progress.
    var progress: String { get }
    /// What it has found.
    var result: LoadResult { get }
    /// Messages that did not come back.
    var lostMessages: Int { get }
    /// True to be called every 2 ms.
    var isPrecise: Bool { get }
}

extension LoadScenario {
    var takesWebSockets: Bool { false }
    var isPrecise: Bool { false }
    var lostMessages: Int { 0 }
    func received(_ text: Span<UInt8>, on connection: LoadConnection, now: Moment) {}
    func heartbeat(_ roundTrip: Duration?) {}
    func joined(_ connection: LoadConnection, now: Moment) {}
    func ended(_ connection: LoadConnection, closure: ClientClosure?, now: Moment) -> Bool { false }
}

/// What a message of the server is to a measurement. Nothing is copied.
enum LoadMessage {
    /// A pong, with what our ping said: when it was due, in nanoseconds.
    case pong(due: Int64)
    /// An event of ours, with its number, and when it was due.
    case event(number: Int64, due: Int64)
    /// A command of ours is done.
    case ack
    /// The server asks whether we live.
    case ping
    /// A refusal.
    case error
    case other

    init(_ text: Span<UInt8>) {
        var type: JSONValue?
        var data: JSONValue?
        let scanned = try? JSON.scanObject(text) { key, value in
            if JSON.equals(key, "type", in: text) {
                type = value
            } else if JSON.equals(key, "data", in: text) {
                data = value
            }
        }
        guard scanned != nil, let type, let data, type.kind == .string else {
            self = .other
            return
        }
        if JSON.equals(type, "pong", in: text) {
            let echo = LoadMessage.member("echo", of: data, in: text)
            let due = echo.flatMap { LoadMessage.integer("n", of: $0, in: text) }
            self = due.map { .pong(due: $0) } ?? .other
        } else if JSON.equals(type, "kitchen.item_ready", in: text) {
            guard let due = LoadMessage.integer("n", of: data, in: text),
                let number = LoadMessage.integer("k", of: data, in: text)
            else {
                self = .other
                return
            }
            self = .event(number: number, due: due)
        } else if JSON.equals(type, "ack", in: text) {
            self = .ack
        } else if JSON.equals(type, "ping", in: text) {
            self = .ping
        } else {
            self = JSON.equals(type, "error", in: text) ? .error : .other
        }
    }

    private static func member(_ name: StaticString, of object: JSONValue, in text: Span<UInt8>) -> JSONValue? {
        var found: JSONValue?
        try? JSON.scanMembers(of: object, in: text) { key, value in
            if JSON.equals(key, name, in: text) { found = value }
        }
        return found
    }

    private static func integer(_ name: StaticString, of object: JSONValue, in text: Span<UInt8>) -> Int64? {
        member(name, of: object, in: text).flatMap { JSON.integer($0, in: text) }
    }
}
