// Why there is no answer from Redis. A refusal by Redis itself is an answer: `RedisReply.error`.

/// The one error of this layer. Nothing in it ever holds a part of REDIS_URL.
enum RedisError: Error, Equatable, Sendable, CustomStringConvertible {
    /// REDIS_URL cannot be used; the reason completes the sentence.
    case invalidURL(reason: String)
    /// There is no connection at present; the client is reconnecting. Nothing was sent.
    case notConnected
    /// The answer did not come within the time limit. The command may have been carried out, or may still be.
    case timeout
    /// The connection was lost before the answer came. The command may have been carried out.
    case connectionLost
    /// The queue for Redis is full, or the command alone is larger than the queue may be. Nothing was sent.
    case overloaded
    /// `close` was called. The command may have been carried out.
    case closed

    /// One sentence.
    var description: String {
        switch self {
        case .invalidURL(let reason): "REDIS_URL cannot be used: \(reason)."
        case .notConnected: "Redis is not connected at present."
        case .timeout: "Redis did not answer in time."
        case .connectionLost: "The connection to Redis was lost before the answer came."
        case .overloaded: "Too much is waiting for Redis already."
        case .closed: "The connection to Redis has been closed."
        }
    }
}
