// Why the client could not do what it was asked, as one sentence each.

public import FynloCore
public import FynloIO

/// The one error of this library.
public enum ClientError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A URL that names no server; `reason` says how it would.
    case invalidURL(String, reason: String)
    /// The name, the network or the server's port.
    case unreachable(ServerURL, SystemError)
    /// No TLS connection can be made, or it broke: the server's certificate is not accepted, it does not speak TLS, …
    case insecure(ServerURL, TLSError)
    /// It took longer than this.
    case timedOut(ServerURL, after: Duration)
    /// The server's answer is not HTTP.
    case unreadableResponse(ServerURL, HTTPError)

    public var description: String {
        switch self {
        case .invalidURL(let text, let reason): "\"\(text)\" is not the URL of a server: \(reason)."
        case .unreachable(let server, let error): "\(server) cannot be reached: \(error)"
        case .insecure(let server, let error): "\(server) cannot be spoken to safely: \(error)"
        case .timedOut(let server, let limit): "\(server) did not answer within \(limit.inMilliseconds) ms."
        case .unreadableResponse(let server, let error): "The answer of \(server) cannot be read: \(error.detail)"
        }
    }
}
