// The limits of HTTP, each with its unit and reason. They apply to strangers: a request is read before its sender has proved
// anything.

/// What one HTTP connection may use.
public struct HTTPLimits: Sendable, Equatable {
    // MARK: Sizes

    /// Bytes of the request line without its line break (414 beyond). RFC 9112 §3 recommends at least 8,000.
    public var requestLineBytes = 8_192
    /// Bytes of all field lines with their line breaks (431 beyond): a token of 8 KiB and what browsers and proxies add.
    public var headerBytes = 16_384
    /// Fields of one message (431 beyond): browsers send about 20, proxies add a few.
    public var headerFields = 100
    /// FYNLO_MAX_BODY: bytes of one body after removing the chunk framing (413 beyond).
    public var bodyBytes = 1_048_576
    /// Bytes of chunk extensions in one body: in practice they are used only to attack servers.
    public var chunkExtensionBytes = 1_024
    /// Bytes of the trailer fields with their line breaks (431 beyond): they are checked and dropped.
    public var trailerBytes = 4_096
    /// Empty lines before a request line. RFC 9112 §2.2 asks to accept at least one, which old clients send after a body.
    public var leadingEmptyLines = 2

    // MARK: Times

    /// From the first byte of a request to the end of its head (408 beyond), and from the connection to its first byte:
    /// a head fits in a few packets.
    public var headTimeout = Duration.seconds(10)
    /// While draining, how long a client that has sent nothing yet may take to send its first byte: its request is either on
    /// its way or will never come.
    public var firstRequestTimeout = Duration.seconds(1)
    /// The longest silence within a body (408 beyond).
    public var bodyTimeout = Duration.seconds(30)
    /// The least average rate of a body in bytes per second after its first `bodyTimeout` (408 below), so that nobody holds a
    /// connection by sending a byte now and then.
    public var bodyBytesPerSecond = 500
    /// From a response to the first byte of the next request; then the connection is closed silently. Longer than the 60 s for
    /// which proxies keep idle connections, so that the proxy closes first and no request meets a closing socket.
    public var idleTimeout = Duration.seconds(75)

    public init() {}
}
