// What every endpoint does once storage has answered.

import FynloCore

extension Logger {
    /// Logs that storage failed over a request, and returns what the client is told.
    func failure(_ event: StaticString, _ error: PostgresError, of request: HTTPRequest) -> APIError {
        warning(event, ["request": request.id.description, "error": error.description])
        return APIError(error)
    }
}

/// Answers commands over HTTP.
struct CommandReply {
    let feeds: FeedHandler
    let log: Logger

    /// Answers a command, and has the event that it caused delivered at once. `isRepeatable`: the client may send the command
    /// again without doing twice what it asks for.
    func finish<Value>(
        _ result: Result<StorageOutcome<Value>, PostgresError>, of request: HTTPRequest, isRepeatable: Bool,
        _ reply: Reply, _ response: (Value) -> HTTPResponse
    ) {
        switch result {
        case .success(let outcome):
            reply(outcome.answer.map(response))
            if let event = outcome.event { feeds.committed(event) }
        case .failure(let error):
            log.warning("command_failed", ["request": request.id.description, "error": error.description])
            reply(.failure(APIError(error, ofRepeatableCommand: isRepeatable)))
        }
    }
}
