import FynloCore
import FynloIO
import Testing

@testable import FynloServer

extension TestTablet {
    /// The server has switched protocols.
    var isUpgraded: Bool { upgrade?.status == 101 }

    /// Sends a message with an object as its data.
    func say(type: String, id: String? = nil, data: String = "{}") {
        let idMember = id.map { "\"id\":\"\($0)\"," } ?? ""
        say("{\(idMember)\"type\":\"\(type)\",\"data\":\(data)}")
    }

    /// Sends `order.status_update`.
    func update(_ order: OrderID, to status: OrderStatus, id: String? = nil, expecting version: Int? = nil) {
        let versionMember = version.map { ",\"expected_version\":\($0)" } ?? ""
        say(
            type: "order.status_update", id: id,
            data: "{\"order_id\":\"\(order)\",\"status\":\"\(status.rawValue)\"\(versionMember)}")
    }

    /// `ack` and `error` in the order they came.
    var answers: [Document] {
        messages.filter { ["ack", "error"].contains($0["type"].string) }
    }

    /// The answers to the command with this id.
    func answers(to id: String) -> [Document] {
        answers.filter { $0["data"]["id"].string == id }
    }

    /// The durable events, in the order they came.
    var events: [Document] {
        messages.filter { $0["seq"].integer != nil }
    }
}

extension TestServer {
    /// Does what a tablet does while the database is away: sends again until it is acknowledged.
    func sendUntilAcknowledged(
        _ tablet: TestTablet, sourceLocation: SourceLocation = #_sourceLocation, _ send: (TestTablet) -> Void
    ) throws {
        let deadline = loop.now.instant + .seconds(10)
        repeat {
            let count = tablet.answers.count
            send(tablet)
            try wait(for: "an answer", sourceLocation: sourceLocation) { tablet.answers.count > count }
            if tablet.answers.last?["type"].string == "ack" { return }
            try settle(.milliseconds(20))
        } while loop.now.instant < deadline
        Issue.record("no ack: \(tablet.texts.last ?? "nothing")", sourceLocation: sourceLocation)
    }
}

/// A frame as a client may, or may not, send it; written without the code under test.
struct ClientFrame {
    var opcode: UInt8
    var payload: [UInt8] = []
    var isFinal = true
    var isMasked = true
    var reservedBits: UInt8 = 0

    var bytes: [UInt8] {
        var bytes = [(isFinal ? 0x80 : 0) | reservedBits << 4 | opcode]
        let maskBit: UInt8 = isMasked ? 0x80 : 0
        switch payload.count {
        case ...125: bytes.append(maskBit | UInt8(payload.count))
        case ...65_535: bytes += [maskBit | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xff)]
        default: bytes += [maskBit | 127] + (0..<8).map { UInt8(payload.count >> (56 - 8 * $0) & 0xff) }
        }
        guard isMasked else { return bytes + payload }
        let key: [UInt8] = [0x12, 0xa4, 0x56, 0xf8]
        return bytes + key + payload.enumerated().map { $1 ^ key[$0 % 4] }
    }

    static func text(_ text: String, isFinal: Bool = true) -> ClientFrame {
        ClientFrame(opcode: 1, payload: Array(text.utf8), isFinal: isFinal)
    }

    static func continuation(_ text: String, isFinal: Bool = true) -> ClientFrame {
        ClientFrame(opcode: 0, payload: Array(text.utf8), isFinal: isFinal)
    }
}
