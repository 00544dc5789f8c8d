// Why the client could not do something, each as one sentence.

public import FynloCore
public import FynloIO

/// The one error of this library.
public enum ClientError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A URL that does not name a server; `reason` says what is expected.
    case invalidURL(String, reason: String)
    /// The name could not be resolved, or no connection could be made.
    case unreachable(ServerURL, SystemError)
    /// TLS could not be established, or failed: the certificate is not accepted, the server does not speak TLS, …
    case insecure(ServerURL, TLSError)
    /// The request took longer than this.
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
