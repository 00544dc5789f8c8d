// Messages of other nodes, or of whoever else speaks on their channels. Input: the message.

import FynloCore

func fuzzNodes(_ input: [UInt8]) throws(FuzzFailure) {
    guard case .message(let message) = NodeMessage.read(input.span) else { return }
    try require(input.count <= NodeMessage.maximumBytes, "a message within its limit")
    switch message.content {
    case .transient(let restaurant, let payload):
        try require(String(validating: payload.span) != nil, "tablets are sent UTF-8")
        try require((try? JSON.scan(payload.span))?.kind == .object, "tablets are sent objects")
        var frame = ByteBuffer()
        WebSocketFrameEncoder.appendTextFrame(to: &frame, mask: nil) { $0.append(payload) }
        var (relayed, written) = (ByteBuffer(NodeMessage.relayBeginning(of: message.node)), ByteBuffer())
        relayed.append(restaurant.uuid)
        relayed.append(NodeMessage.relayEnd)
        frame.withReadable { relayed.append($0.extracting(NodeMessage.relayPayload(of: $0))) }
        written.append(message)
        try require(relayed.bytes() == written.bytes(), "a frame is passed on as it came")
    case .head(_, let head): try require(head >= 0, "events are counted from 1")
    case .menu(_, let version): try require(version >= 0, "so are menus")
    case .locate(let connection, _), .close(let connection, _, _):
        try require(ConnectionID(uuid: connection.uuid) == connection, "a connection that can be told")
    case .located, .closed, .gather, .report: break
    }
    guard input.count < NodeMessage.maximumBytes / 2 else { return }
    var written = ByteBuffer()
    written.append(message)
    let bytes = written.bytes()
    try require(NodeMessage.read(bytes.span) == .message(message), "what is written is read")
}
