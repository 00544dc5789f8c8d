// A durable event, encoded as every tablet receives it.

/// One event of a restaurant's stream, encoded once for all who get it, now or later.
public struct EventFrame: Sendable {
    public let sequence: EventSequence
    /// One whole text frame.
    public let frame: ByteBuffer
    /// The version that a `menu.updated` tells.
    public let menuVersion: Int64?
    /// When it was committed, by the database's clock.
    public let createdAt: UnixTime
}
