// A durable event as every tablet gets it.

/// One event of a restaurant's stream, encoded once for all who get it, now or later.
public struct EventFrame: Sendable {
    public let sequence: EventSequence
    /// One whole text frame.
    public let frame: ByteBuffer
    /// The version that a `menu.updated` tells.
    public let menuVersion: Int64?
    /// When it was committed, by the database's clock.
    public let createdAt: UnixTime

    /// What an event usually has beside its data.
    private static let envelopeBytes = 256

    /// Encodes an event.
    public init(_ event: OrderEvent) {
        sequence = event.sequence
        menuVersion = event.menuVersion
        createdAt = event.createdAt
        var frame = ByteBuffer(capacity: event.data.count + EventFrame.envelopeBytes)
        WebSocketFrameEncoder.appendTextFrame(to: &frame, mask: nil) { MessageEncoder.append(event, to: &$0) }
        self.frame = frame
    }
}
