// Why Postgres did not answer, or refused.

/// The failures of a request to Postgres. The sentences are for the logs; users see an APIError.
enum PostgresError: Error, Equatable, CustomStringConvertible {
    /// No connection could be made.
    case unreachable(String)
    /// The connection ended or went silent before the answer: whether the request took effect is unknown.
    case connectionLost(String)
    /// The request waited too long for a connection, or too many wait already; it was never sent.
    case overloaded
    /// Postgres refused or cancelled the statement.
    case server(state: String, message: String)
    /// The answer does not have the shape that the statement promises: a schema of another version.
    case unexpectedAnswer(String)

    /// SQLSTATE 57014 (in practice cancelled by statement_timeout) or 55P03 (a lock was not available in time).
    var isTimeout: Bool {
        switch self {
        case .server("57014", _), .server("55P03", _): true
        default: false
        }
    }

    /// True if the same request may succeed later, unchanged.
    var isTemporary: Bool {
        switch self {
        case .unreachable, .connectionLost, .overloaded: return true
        case .unexpectedAnswer: return false
        case .server(let state, _):
            // Classes: connection exception, insufficient resources, operator intervention, system error, transaction
            // rollback (deadlock); state: a standby that cannot write.
            return isTimeout || ["08", "53", "57", "58", "40"].contains(state.prefix(2)) || state == "25006"
        }
    }

    /// True if the database is unavailable, as opposed to a single slow statement.
    var isAway: Bool { isTemporary && !isTimeout }

    var description: String {
        switch self {
        case .unreachable(let reason): "Postgres cannot be reached: \(reason)"
        case .connectionLost(let reason): "The connection to Postgres was lost: \(reason)"
        case .overloaded: "Too many requests wait for a connection to Postgres."
        case .server(let state, let message): "Postgres answered \(state): \(message)"
        case .unexpectedAnswer(let what): "Postgres gave an answer of an unexpected shape: \(what)"
        }
    }
}

/// libpq's messages end with line breaks and may have several lines: one line for a log.
func singleLine(_ text: String) -> String {
    text.split(whereSeparator: \.isNewline).map { $0.trimmingWhitespace() }.joined(separator: " ")
}

extension StringProtocol {
    func trimmingWhitespace() -> String {
        var rest = self[...]
        while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
        while rest.last?.isWhitespace == true { rest = rest.dropLast() }
        return String(rest)
    }
}
