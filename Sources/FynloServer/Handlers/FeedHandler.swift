// The event streams of the restaurants that have listeners here: hints and committed rows go in, frames go out to the
// tablets, encoded once for all of them.

import FynloCore
import FynloIO

/// One feed per restaurant with listeners.
final class FeedHandler {
    private let hub: Hub
    private let events: EventLog
    private let log: Logger
    private var feeds: [RestaurantID: RestaurantFeed] = [:]

    init(hub: Hub, events: EventLog, log: Logger) {
        self.hub = hub
        self.events = events
        self.log = log
    }

    /// A tablet joins: `head` is the newest event the database knows of. Returns the newest event that the tablet will
    /// not be sent.
    func join(_ restaurant: RestaurantID, head: EventSequence) -> EventSequence {
        guard let cursor = feeds[restaurant]?.cursor else {
            feeds[restaurant] = RestaurantFeed(head: head)
            return head
        }
        hint(restaurant, head: head)
        return max(head, cursor)
    }

    /// The last tablet has left.
    func leave(_ restaurant: RestaurantID) {
        feeds[restaurant] = nil
    }

    /// Somebody says how far the stream goes.
    func hint(_ restaurant: RestaurantID, head: EventSequence) {
        guard let step = feeds[restaurant]?.hint(head: head) else { return }
        take(step, restaurant)
    }

    /// This process committed an event.
    func committed(_ event: OrderEvent) {
        guard let step = feeds[event.restaurant]?.committed(event) else { return }
        take(step, event.restaurant)
    }

    private func take(_ step: RestaurantFeed.Step, _ restaurant: RestaurantID) {
        for event in step.events {
            var frame = ByteBuffer()
            WebSocketFrameEncoder.appendTextFrame(to: &frame, mask: nil) { MessageEncoder.append(event, to: &$0) }
            hub.broadcast(frame, sequence: event.sequence, to: restaurant)
        }
        guard let cursor = step.readAfter else { return }
        events.events(of: restaurant, after: cursor, limit: RestaurantFeed.pageRows) { [weak self] result in
            self?.read(restaurant, after: cursor, result)
        }
    }

    private func read(
        _ restaurant: RestaurantID, after cursor: EventSequence, _ result: Result<[OrderEvent], PostgresError>
    ) {
        // A feed that was closed and opened meanwhile has another cursor, or none to read for.
        guard feeds[restaurant]?.isReading(after: cursor) == true else { return }
        switch result {
        case .success(let rows):
            if let step = feeds[restaurant]?.deliver(rows) { take(step, restaurant) }
        case .failure(let error):
            log.warning("events_unread", ["error": error.description])
            feeds[restaurant]?.readFailed()
        }
    }
}
