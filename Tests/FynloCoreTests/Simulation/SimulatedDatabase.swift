// What the servers ask the database, and how the model answers. A question is asked at one time, executed at another, and
// answered at a third, or not at all.

import FynloCore
import TestSupport

/// What a server's handlers ask, with what they need to go on when the answer comes.
enum Question {
    case access(Applicant, AccessToken)
    case renewal(AccessToken, user: UserID, connection: UInt64)
    case command(StorageRequest, connection: UInt64)
    case events(RestaurantID, after: EventSequence)
    case replay(RestaurantID, RestaurantFeed.Read)
    case counters([RestaurantID])
    case rights(RestaurantID, [ConnectionRegistry.Member])
}

/// A tablet that waits for its authentication.
struct Applicant {
    let request: AuthenticationRequest
    let restaurant: RestaurantID
    let connection: UInt64
    let deadline: Instant
}

/// What the database says; `unavailable` for what did not come in time as well.
enum Answer {
    case access(AccessRecord?)
    case command(CommandAnswer, DurableEvent?)
    case events([DurableEvent])
    case counters([StreamCounters])
    case rights(version: Int64, [UserID: AccessRecord])
    case unavailable
}

/// The orders of a restaurant as of one event, as a tablet loads them by REST.
struct Snapshot {
    let sequence: EventSequence
    let orders: [OrderID: Seen]
}

/// What a tablet knows of an order.
struct Seen: Equatable {
    let status: String
    let version: Int32
}

/// A commit that a deliberately wrong database makes after it has answered.
struct LateCommit {
    let update: OrderStatusUpdate
    let restaurant: RestaurantID
    let user: UserID
    let messageID: String?
}

extension ModelDatabase {
    /// Executes a question; returns its answer.
    mutating func execute(_ question: Question, at time: UnixTime) -> Answer {
        switch question {
        case .access(let applicant, let token):
            return .access(access(of: token.subject, to: applicant.restaurant))
        case .renewal(let token, _, _):
            return .access(access(of: token.subject, to: RestaurantID(UUID128(high: 0, low: 0))))
        case .command(.updateOrderStatus(let update, let restaurant, let user, let messageID), _):
            let result = updateStatus(update, restaurant: restaurant, user: user, messageID: messageID, at: time)
            return .command(ModelDatabase.answer(result), result.event?.event)
        case .events(let restaurant, let after):
            return .events(events(of: restaurant, after: after, limit: RestaurantFeed.pageRows))
        case .replay(let restaurant, let read):
            return .events(events(of: restaurant, after: read.after, limit: read.limit))
        case .counters(let restaurants):
            return .counters(restaurants.compactMap { counters(of: $0) })
        case .rights(let restaurant, let members):
            var records: [UserID: AccessRecord] = [:]
            for member in members {
                records[member.user] = access(of: User(id: member.user, restaurant: restaurant).subject, to: restaurant)
            }
            return .rights(version: stream(of: restaurant).accessVersion, records)
        }
    }

    /// As the repository words it.
    private static func answer(_ result: CommandResult) -> CommandAnswer {
        switch result.outcome {
        case .ack, .duplicate: .done(sequence: result.sequence)
        case .idReused: .refused(APIError(.idReused, "Used."))
        case .orderNotFound: .refused(APIError(.orderNotFound, "None."))
        case .versionConflict: .refused(APIError(.versionConflict, "Changed.", order: Array("{}".utf8)))
        case .invalidTransition: .refused(APIError(.invalidTransition, "Not from there.", order: Array("{}".utf8)))
        }
    }

    /// As REST gives it.
    func snapshot(of restaurant: RestaurantID) -> Snapshot {
        Snapshot(
            sequence: stream(of: restaurant).head,
            orders: orders(of: restaurant).mapValues { Seen(status: $0.status.rawValue, version: $0.version) })
    }
}
