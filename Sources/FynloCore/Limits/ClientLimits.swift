// The numbers of the client, each with its unit and its reason.

/// What one client waits for and puts up with.
public struct ClientLimits: Sendable, Equatable {
    /// From the wish to connect to the open WebSocket: name, TCP and the upgrade.
    public var connectTimeout = Duration.seconds(10)
    /// From the open WebSocket to `authenticated`.
    public var authenticationTimeout = Duration.seconds(10)
    /// How often to ping, where the server does not say.
    public var heartbeatInterval = Duration.seconds(15)
    /// The bounds for what the server says: never so often that it counts as a flood, nor so rarely that a dead
    /// connection stays unnoticed.
    public var heartbeatIntervals = Duration.milliseconds(50)...Duration.seconds(300)
    /// How long the answer to a ping may take.
    public var pongTimeout = Duration.seconds(5)
    /// How long the answer to a command may take: the server gives up on its database after 5 s.
    public var commandTimeout = Duration.seconds(15)
    /// Commands without an answer. The server lets 64 wait; more are of use only to fill the time on the way.
    public var unansweredCommands = 256
    /// Bytes of one message of the server: an order with all its items, generously.
    public var messageBytes = 1 << 20
    /// Bytes of one message of ours (FYNLO_MAX_MESSAGE of the server).
    public var sentMessageBytes = 65_536
    /// From our close frame to the end of the connection.
    public var closeTimeout = Duration.seconds(5)

    public init() {}
}
