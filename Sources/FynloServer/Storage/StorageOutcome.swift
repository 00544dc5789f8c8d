// What a command came to, once it is committed or refused.

import FynloCore

/// The answer to a command, and the event it made.
struct StorageOutcome<Value> {
    let answer: Result<Value, APIError>
    /// The event this very call made; `nil` if it made none, or another call of the same id did.
    let event: DurableEvent?

    init(_ value: Value, _ event: DurableEvent?) {
        answer = .success(value)
        self.event = event
    }

    init(refusal: APIError) {
        answer = .failure(refusal)
        event = nil
    }
}

extension APIError {
    static let idReused = APIError(
        .idReused, "This id was used for another kind of command; give each command its own.")
}

extension DurableEvent {
    /// Reads seq, type, data and created_at in milliseconds from four columns; `nil` if there is no event in them.
    init?(_ row: PostgresRow, at column: Int, of restaurant: RestaurantID) {
        guard let sequence = row.integer(column), let type = row.string(column + 1),
            let data = row.bytes(column + 2), let milliseconds = row.integer(column + 3)
        else { return nil }
        self.init(
            restaurant: restaurant, sequence: sequence, type: type, data: data,
            createdAt: UnixTime(milliseconds: milliseconds))
    }
}
