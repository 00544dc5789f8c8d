// The limits of the client, each with its unit and reason.

/// The time-outs and sizes of one client.
public struct ClientLimits: Sendable, Equatable {
    /// From starting to connect to the open WebSocket: name resolution, TCP and the upgrade.
    public var connectTimeout = Duration.seconds(10)
    /// From the open WebSocket to `authenticated`.
    public var authenticationTimeout = Duration.seconds(10)
    /// How often to ping if the server does not say.
    public var heartbeatInterval = Duration.seconds(15)
    /// The bounds for the interval that the server asks for: never so short that pings count as a flood, nor so long that a
    /// dead connection goes unnoticed.
    public var heartbeatIntervals = Duration.milliseconds(50)...Duration.seconds(300)
    /// How long the answer to a ping may take.
    public var pongTimeout = Duration.seconds(5)
    /// How long the answer to a command may take: the server gives up on its database after 5 s.
    public var commandTimeout = Duration.seconds(15)
    /// Commands sent without an answer yet. The server lets 64 wait; more help only to bridge the latency of the network.
    public var unansweredCommands = 256
    /// Bytes of one message from the server: enough for an order with all its items.
    public var messageBytes = 1 << 20
    /// Bytes of one message to the server (its FYNLO_MAX_MESSAGE).
    public var sentMessageBytes = 65_536
    /// From our close frame to the end of the connection.
    public var closeTimeout = Duration.seconds(5)

    public init() {}
}
