// What the scenarios of a load test share, and what they read from a message.

import FynloCore
import FynloIO

/// What happens once all are connected.
protocol LoadScenario: AnyObject {
    /// The run it is a part of, which outlives it.
    func attach(to run: LoadRun)
    /// True if it sends and receives messages itself; false if connections keep their ClientStack with its heartbeat.
    var takesWebSockets: Bool { get }
    /// All connections are authenticated or have failed: the measurement begins.
    func begin(now: Moment)
    /// A message arrived on one of the scenario's own connections.
    func received(_ text: Span<UInt8>, on connection: LoadConnection, now: Moment)
    /// A ClientStack's ping was answered, or was not answered in time (`nil`).
    func heartbeat(_ roundTrip: Duration?)
    /// A connection is authenticated, possibly again.
    func joined(_ connection: LoadConnection, now: Moment)
    /// A connection has ended. Returns true if it will come back, so that it is not a loss.
    func ended(_ connection: LoadConnection, closure: ClientClosure?, now: Moment) -> Bool
    /// Called about every 2 ms if the scenario asks for it, otherwise every 100 ms. Returns true when the measurement is over.
    func tick(now: Moment) -> Bool
    /// The progress line.
    var progress: String { get }
    /// The results.
    var result: LoadResult { get }
    /// Messages without an answer.
    var lostMessages: Int { get }
    /// True if the scenario wants to be called every 2 ms.
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

/// What a message from the server means to a measurement. Nothing is copied.
enum LoadMessage {
    /// A pong, with the time at which its ping was due, in nanoseconds.
    case pong(due: Int64)
    /// An event sent by this run, with its number and the time at which it was due.
    case event(number: Int64, due: Int64)
    /// A command of this run is done.
    case ack
    /// The server's ping.
    case ping
    /// An error.
    case error
    case other

    init(_ text: Span<UInt8>) {
        self = LoadMessage(asUsual: text) ?? LoadMessage(inAnyOrder: text)
    }

    /// Reads pongs and events in the form that servers write: no white space, `type` before `data`. Their numbers can then be
    /// found by searching, since these bytes cannot occur inside a string. `nil` if a closer look is needed. The load must cost
    /// less than what it measures: this takes 0.2 µs, the scanner 0.7.
    private init?(asUsual text: Span<UInt8>) {
        guard let type = LoadMessage.position(after: LoadMessage.typeKey, in: text, from: 0, to: 96) else { return nil }
        if LoadMessage.stands(LoadMessage.pong, in: text, at: type) {
            guard let due = LoadMessage.number(after: LoadMessage.dueKey, in: text, from: type) else { return nil }
            self = .pong(due: due)
        } else if LoadMessage.stands(LoadMessage.itemReady, in: text, at: type) {
            guard let due = LoadMessage.number(after: LoadMessage.dueKey, in: text, from: type),
                let number = LoadMessage.number(after: LoadMessage.numberKey, in: text, from: type)
            else { return nil }
            self = .event(number: number, due: due)
        } else {
            return nil
        }
    }

    private static let typeKey = Array("\"type\":\"".utf8)
    private static let pong = Array("pong\"".utf8)
    private static let itemReady = Array("kitchen.item_ready\"".utf8)
    private static let dueKey = Array("\"n\":".utf8)
    private static let numberKey = Array("\"k\":".utf8)

    private static func stands(_ word: [UInt8], in text: Span<UInt8>, at position: Int) -> Bool {
        guard position + word.count <= text.count else { return false }
        for offset in word.indices where text[position + offset] != word[offset] { return false }
        return true
    }

    private static func position(after word: [UInt8], in text: Span<UInt8>, from start: Int, to end: Int) -> Int? {
        let first = word[0]
        for position in start..<max(start, min(end, text.count - word.count))
        where text[position] == first && stands(word, in: text, at: position) { return position + word.count }
        return nil
    }

    /// A whole number of at most 18 digits.
    private static func number(after key: [UInt8], in text: Span<UInt8>, from start: Int) -> Int64? {
        guard let first = position(after: key, in: text, from: start, to: text.count) else { return nil }
        var number: Int64 = 0
        var position = first
        while position < text.count, case let digit = text[position], (0x30...0x39).contains(digit) {
            guard position - first < 18 else { return nil }
            number = number * 10 + Int64(digit - 0x30)
            position += 1
        }
        // A comma or the end of the object must follow, not a fraction.
        let isWhole = position > first && position < text.count && (text[position] == 0x2c || text[position] == 0x7d)
        return isWhole ? number : nil
    }

    private init(inAnyOrder text: Span<UInt8>) {
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
