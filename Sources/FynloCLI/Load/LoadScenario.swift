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
        self = LoadMessage(asUsual: text) ?? LoadMessage(inAnyOrder: text)
    }

    /// Pongs and events as servers write them: without white space, `type` before `data`. Then their numbers are found by
    /// looking for them, as these bytes cannot stand inside a string; what needs a closer look is `nil`. The load has to
    /// cost less than what it measures: this takes 0.2 µs, the scanner 0.7.
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
        // A comma or the end of the object, not a fraction.
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
