// One message from the server as one line for a person:
//
//     18:04:05.123  #42  order.status_changed  order_number=A-17 status=ready old_status=preparing version=3

import FynloCore

/// Writes messages as lines.
struct EventLine {
    let hasColour: Bool

    /// The line with its line break. Times are local.
    func bytes(of message: ReceivedMessage) -> [UInt8] {
        var line = ByteBuffer()
        line.append(coloured("2", time(of: message)))
        line.append("  ")
        line.append(coloured("2", padded(message.sequence.map { "#\($0)" } ?? "-", to: 6)))
        line.append("  ")
        let name = String(decoding: Console.printable(Array(message.type.utf8)), as: UTF8.self)
        line.append(coloured(EventLine.colour(of: message.type), padded(name, to: 22)))
        message.forEachDataMember { key, value, text in
            guard !JSON.equals(key, "timestamp", in: text) else { return }
            line.append(" ")
            line.append(coloured("2", printable(text.extracting(key.content)) + "="))
            // A plain word needs no quotation marks.
            let content = text.extracting(value.content)
            let isPlain = value.kind == .string && !value.hasEscapes && !content.isEmpty && !content.holds(" ")
            line.append(printable(isPlain ? content : text.extracting(value.positions)))
        }
        line.append("\n")
        return line.bytes()
    }

    private func printable(_ text: Span<UInt8>) -> String {
        String(decoding: Console.printable([UInt8](copying: text)), as: UTF8.self)
    }

    private func time(of message: ReceivedMessage) -> String {
        let text = message.json.span
        var time: UnixTime?
        _ = try? JSON.scanObject(text) { key, value in
            if JSON.equals(key, "timestamp", in: text) {
                time = JSON.string(value, in: text).flatMap { UnixTime(rfc3339: $0) }
            }
        }
        guard let time else { return "--:--:--.---" }
        return LocalTime(time).seconds + "." + LocalTime.digits(Int(time.milliseconds - time.seconds * 1000), 3)
    }

    private func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private func coloured(_ code: String, _ text: String) -> String {
        hasColour ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }

    /// The SGR code for a type.
    private static func colour(of type: String) -> String {
        switch type {
        case "order.created": "32"
        case "order.deleted", "resync_required": "31"
        case let type where type.hasPrefix("order."): "36"
        case let type where type.hasPrefix("kitchen."): "33"
        case let type where type.hasPrefix("table."): "35"
        default: "34"
        }
    }
}

extension Span where Element == UInt8 {
    fileprivate func holds(_ character: Unicode.Scalar) -> Bool {
        for index in indices where self[index] == UInt8(ascii: character) { return true }
        return false
    }
}
