// A blocking connection, for the subcommands that run statements in sequence: migrate, demo-data, token, check.

import CPostgres
import FynloCore

/// One blocking connection.
final class PostgresSession {
    private let connection: OpaquePointer

    /// Connects, or throws the reason.
    init(_ settings: PostgresSettings) throws(PostgresError) {
        guard let connection = settings.withParameters({ PQconnectdbParams($0, $1, 0) }) else {
            throw .unreachable("libpq is out of memory")
        }
        guard PQstatus(connection) == CONNECTION_OK else {
            let reason = PQerrorMessage(connection).map { singleLine(String(cString: $0)) } ?? "no reason given"
            PQfinish(connection)
            throw .unreachable(reason)
        }
        PQsetNoticeProcessor(connection, { _, _ in }, nil)
        self.connection = connection
    }

    deinit {
        PQfinish(connection)
    }

    /// Runs one or more statements without parameters; returns the rows of the last one.
    func execute(_ sql: String) -> Result<PostgresResult, PostgresError> {
        answer(PQexec(connection, sql))
    }

    /// Runs one statement with parameters.
    func query(_ sql: String, _ parameters: [PostgresValue]) -> Result<PostgresResult, PostgresError> {
        parameters.withPointers { count, values in
            answer(PQexecParams(connection, sql, count, nil, values, nil, nil, 0))
        }
    }

    private func answer(_ raw: OpaquePointer?) -> Result<PostgresResult, PostgresError> {
        guard let raw else {
            return .failure(.connectionLost(PQerrorMessage(connection).map { singleLine(String(cString: $0)) } ?? ""))
        }
        let result = PostgresResult(raw)
        switch PQresultStatus(raw) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: return .success(result)
        default: return .failure(PostgresError(result: raw))
        }
    }
}
