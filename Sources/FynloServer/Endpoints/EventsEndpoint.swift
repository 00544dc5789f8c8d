// The durable events over HTTP, for programs that do not open a WebSocket.

import FynloCore

/// Answers `GET /api/v1/events`.
final class EventsEndpoint {
    private let authorizer: RequestAuthorizer
    private let known: AccessLookup
    private let events: EventLog
    private let limits: Limits
    private let log: Logger

    private struct Query {
        let restaurant: RestaurantID
        let after: EventSequence
        let limit: Int
    }

    init(authorizer: RequestAuthorizer, known: AccessLookup, events: EventLog, limits: Limits, log: Logger) {
        self.authorizer = authorizer
        self.known = known
        self.events = events
        self.limits = limits
        self.log = log
    }

    /// The events after `after`, as tablets receive them, or 410 if they are not all there.
    func events(_ request: HTTPRequest, reply: @escaping Reply) {
        let limits = limits
        authorizer.authorize(request, reply: reply) { () throws(APIError) in
            let parameters = try QueryParameters(request)
            return Query(
                restaurant: try parameters.restaurant(),
                after: EventSequence(try parameters.integer("after", in: 0...Int.max, default: 0)),
                limit: try parameters.integer("limit", in: 1...limits.eventsPerPage, default: 100))
        } restaurant: {
            $0.restaurant
        } then: { [events, log, known] query, _ in
            events.page(of: query.restaurant, after: query.after, limit: query.limit) { result in
                switch result {
                case .success(let page):
                    for event in page.events {
                        if let version = event.menuVersion { known.menuUpdated(query.restaurant, to: version) }
                    }
                    reply(EventsEndpoint.answer(page, after: query.after))
                case .failure(let error):
                    reply(.failure(log.failure("events_unread", error, of: request)))
                }
            }
        }
    }

    private static func answer(_ page: EventPage, after: EventSequence) -> Result<HTTPResponse, APIError> {
        let advice = "read the orders anew and go on from their X-Event-Seq."
        guard after <= page.head else {
            return .failure(
                APIError(.resyncRequired, "There is no event \(after) yet, the newest is \(page.head); \(advice)"))
        }
        // The numbers have no gaps, so events that are missing at the beginning have been pruned.
        guard after == page.head || page.events.first?.sequence == after + 1 else {
            return .failure(APIError(.resyncRequired, "The events after \(after) are no longer kept; \(advice)"))
        }
        var body = ByteBuffer("[")
        for (index, event) in page.events.enumerated() {
            if index > 0 { body.append(",") }
            MessageEncoder.append(event, to: &body)
        }
        body.append("]")
        return .success(.json(200, body.bytes(), eventSequence: page.head))
    }
}
