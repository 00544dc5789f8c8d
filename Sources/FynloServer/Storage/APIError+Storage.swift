// What clients are told when storage refuses or fails.

import FynloCore

extension APIError {
    // The sentences are the contract's.
    static let accessDenied = APIError(.accessDenied, "Access denied to this restaurant")
    static let permissionDenied = APIError(.permissionDenied, "Permission denied")
    static let orderNotFound = APIError(.orderNotFound, "There is no such order.")

    /// What clients are told when Postgres fails.
    init(_ error: PostgresError) {
        if error.isTimeout {
            self = .queryTimeout
        } else if error.isTemporary {
            self = .unavailable
        } else {
            self.init(.internalError, "The server could not do this; the operator finds the reason in its log.")
        }
    }

    /// What clients are told when Postgres fails during a command. If the command may have been carried out nevertheless, only
    /// a repeatable one may be sent again without checking first.
    init(_ error: PostgresError, ofRepeatableCommand isRepeatable: Bool) {
        if case .connectionLost = error, !isRepeatable {
            self = .outcomeUnknown
        } else {
            self.init(error)
        }
    }
}
