// Why Postgres did not answer, or refused.

/// What can go wrong between us and Postgres. The sentences are for the logs; users see an APIError.
enum PostgresError: Error, Equatable, CustomStringConvertible {
    /// No connection could be made.
    case unreachable(String)
    /// The connection ended, or went silent, with the request under way: whether it took effect is unknown.
    case connectionLost(String)
    /// The request waited too long for a connection, or too many wait already; it was never sent.
    case overloaded
    /// Postgres refused or cancelled the statement.
    case server(state: String, message: String)
    /// The answer does not have the shape that the statement promises: a schema of another version.
    case unexpectedAnswer(String)

    /// SQLSTATE 57014, cancelled by statement_timeout in practice, or 55P03, a lock that was waited for too long.
    var isTimeout: Bool {
        switch self {
        case .server("57014", _), .server("55P03", _): true
        default: false
        }
    }

    /// True when the same request may succeed later without a change of ours.
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

    /// True when it is the database that is away, and no single statement that is slow.
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
