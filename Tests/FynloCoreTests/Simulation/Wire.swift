// What a server says to one tablet, read as it is written, before the network or the tablet can hide a mistake.

import FynloCore

/// The frames from a server to one tablet, and the promises about them.
struct Wire {
    let restaurant: RestaurantID
    /// Set when the server has let the tablet in.
    var isAuthenticated = false
    /// The tablet's `last_seq`.
    var lastSequence: EventSequence?
    /// Commands that have arrived and are not answered, in order.
    private(set) var unanswered: [Int] = []
    /// Commands that were answered with the wish that they be sent again: what came after them may be done before.
    private(set) var putOff: Set<Int> = []
    /// The command that is with storage.
    private var begun: Int?
    /// The tablet was told that the server is going away.
    private var isLeaving = false
    var violations: [String] = []
    /// The number that the next event has to have; `nil` before `authenticated`.
    private var next: EventSequence?
    /// The event after the tablet's last one, if it is not going to be sent that.
    private var missing: EventSequence?
    private var isClosed = false
    /// Resyncs that the tablet was asked for: the first event it was not sent, and the one it goes on after.
    var resyncs: [(missing: EventSequence, head: EventSequence)] = []
    /// What was said that is worth counting.
    var seen: [String] = []

    init(restaurant: RestaurantID) {
        self.restaurant = restaurant
    }

    mutating func arrived(_ commands: [Int]) {
        if !isLeaving { unanswered += commands }
    }

    /// The command with this id goes to storage.
    mutating func began(_ id: String?) {
        guard let command = id.flatMap(Wire.command) else { return violations.append("storage is asked without an id") }
        if unanswered.first != command {
            violations.append("\(command) goes to storage, while those waiting are \(unanswered)")
        }
        if isLeaving { violations.append("\(command) is begun by a server that is going away") }
        begun = command
    }

    /// The number in a command's id, "t3-17".
    static func command(_ id: String) -> Int? {
        id.split(separator: "-").last.flatMap { Int($0) }
    }

    // MARK: Frames

    /// Whole frames.
    mutating func wrote(_ bytes: [UInt8]) {
        var position = 0
        while position + 2 <= bytes.count {
            let opcode = bytes[position] & 0x0f
            var length = Int(bytes[position + 1] & 0x7f)
            var start = position + 2
            if length == 126 {
                length = Int(bytes[start]) << 8 | Int(bytes[start + 1])
                start += 2
            } else if length == 127 {
                return violations.append("a frame of more than 64 KiB")
            }
            guard start + length <= bytes.count else { break }
            if isClosed { violations.append("a frame follows the close frame") }
            switch opcode {
            case 1: message(bytes, start, start + length)
            case 8:
                isClosed = true
                let code = length >= 2 ? Int(bytes[start]) << 8 | Int(bytes[start + 1]) : 0
                seen.append("closed by the server: \(code)")
                if isLeaving, code == 1001, let begun { violations.append("1001, and \(begun) has no answer") }
            default: break
            }
            position = start + length
        }
        if position != bytes.count { violations.append("a part of a frame is written") }
    }

    /// `{"id":"…","type":"…","data":{…},…}`
    private mutating func message(_ bytes: [UInt8], _ start: Int, _ end: Int) {
        var position = start + 7
        while position < end, bytes[position] != quote { position += 1 }
        let type = text(bytes, from: position + 10)
        let data = position + 10 + type.utf8.count + 9
        if !isAuthenticated, type != "auth_error" { violations.append("\(type) before authentication") }
        switch type {
        case "ack":
            // {"id":"…
            answered(text(bytes, from: data + 7), code: nil)
        case "error":
            // {"code":"…","error":"…","id":"…
            let code = text(bytes, from: data + 9)
            if let id = find("\"id\":\"", bytes, data, end) { answered(text(bytes, from: id), code: code) }
        case "authenticated":
            if next != nil { seen.append("renewed tokens") }
            guard next == nil, let seq = find("\"seq\":", bytes, data, end) else { return }
            let isResumed = find("\"resumed\":true", bytes, data, end) != nil
            if isResumed, lastSequence == nil { violations.append("resumed from nowhere") }
            next = (isResumed ? lastSequence ?? 0 : number(bytes, from: seq)) + 1
            missing = isResumed ? nil : lastSequence.map { $0 + 1 }
        case "resync_required":
            guard let seq = find("\"seq\":", bytes, data, end) else { return }
            let head = number(bytes, from: seq)
            if let next, next > head + 1 { violations.append("a resync to \(head), though \(next - 1) was sent") }
            resyncs.append((missing ?? next ?? 0, head))
            missing = nil
            next = head + 1
        case "reconnect":
            isLeaving = true
            if begun != nil { seen.append("goodbyes before the last answer") }
            // The others are not begun any more.
            unanswered.removeAll { $0 != begun }
        case "auth_error", "ping", "pong", "token_expired":
            break
        default:
            event(type, bytes, end)
        }
    }

    private mutating func event(_ type: String, _ bytes: [UInt8], _ end: Int) {
        // …,"seq":12}
        var position = end - 2
        while position > 0, bytes[position] != UInt8(ascii: ":") { position -= 1 }
        guard bytes[position - 1] == quote, bytes[position - 2] == UInt8(ascii: "q") else { return }
        let sequence = number(bytes, from: position + 1)
        guard let next else { return violations.append("event \(sequence) before authenticated") }
        if missing != nil { violations.append("event \(sequence), and no word of those missed before") }
        if let last = lastSequence, sequence == last + 1 { seen.append("replays") }
        if sequence != next { violations.append("event \(sequence) where \(next) belongs") }
        self.next = sequence + 1
    }

    private mutating func answered(_ id: String, code: String?) {
        guard let command = Wire.command(id), id.hasPrefix("t") else { return }
        guard let index = unanswered.firstIndex(of: command) else {
            return violations.append("an answer to \(id), which is not awaited")
        }
        unanswered.remove(at: index)
        if begun == command { begun = nil }
        switch code {
        case "rate_limited": putOff.insert(command)
        case "unavailable":
            putOff.insert(command)
            fallthrough
        default:
            if index != 0 { violations.append("\(id) is answered before \(unanswered[..<index])") }
        }
    }

    private let quote = UInt8(ascii: "\"")

    /// The characters up to the next quotation mark.
    private func text(_ bytes: [UInt8], from start: Int) -> String {
        var end = start
        while end < bytes.count, bytes[end] != quote { end += 1 }
        return start < end ? String(decoding: bytes[start..<end], as: UTF8.self) : ""
    }

    private func number(_ bytes: [UInt8], from start: Int) -> EventSequence {
        var number: EventSequence = 0
        var position = start
        while position < bytes.count, case let digit = bytes[position] &- UInt8(ascii: "0"), digit < 10 {
            number = number * 10 + EventSequence(digit)
            position += 1
        }
        return number
    }

    /// The position behind `text`.
    private func find(_ text: StaticString, _ bytes: [UInt8], _ start: Int, _ end: Int) -> Int? {
        let wanted = Array(text.description.utf8)
        guard start + wanted.count <= end else { return nil }
        for position in start...(end - wanted.count) where bytes[position] == wanted[0] {
            if bytes[position..<(position + wanted.count)].elementsEqual(wanted) { return position + wanted.count }
        }
        return nil
    }
}
