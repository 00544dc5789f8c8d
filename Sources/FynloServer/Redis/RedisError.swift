// Why there is no answer from Redis. What Redis itself refuses is an answer: `RedisReply.error`.

/// The one error of this layer. Nothing in it ever holds a part of REDIS_URL.
enum RedisError: Error, Equatable, Sendable, CustomStringConvertible {
    /// REDIS_URL cannot be used; the reason completes the sentence.
    case invalidURL(reason: String)
    /// There is no connection at present; it is being made again. Nothing was sent.
    case notConnected
    /// The answer did not come within the budget. The command may have been carried out, or may be yet.
    case timeout
    /// The connection was lost with the answer under way. The command may have been carried out.
    case connectionLost
    /// Too much is waiting for Redis already, or the command alone is larger than all that may wait. Nothing was sent.
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
