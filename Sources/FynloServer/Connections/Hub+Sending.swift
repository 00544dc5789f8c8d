// The one place where bytes are handed to many: an event is encoded once, and every tablet of its restaurant is given the
// same bytes.

import FynloCore
import FynloIO

extension Hub {
    /// Relays a text frame to every tablet of a restaurant. It was received at `receivedAt`, or by another process (`nil`).
    func relay(_ frame: ByteBuffer, receivedAt: Instant?, to restaurant: RestaurantID) {
        broadcast(frame, sequence: nil, to: restaurant)
        if let receivedAt { metrics.relaying(receivedAt: receivedAt) }
        writing.schedule()
    }

    /// Hands a durable event to every tablet of a restaurant.
    func broadcast(_ event: EventFrame, to restaurant: RestaurantID) {
        broadcast(event.frame, sequence: event.sequence, to: restaurant)
        metrics.delivering(committedAt: event.createdAt, in: restaurant)
        writing.schedule()
    }

    private func broadcast(_ frame: ByteBuffer, sequence: EventSequence?, to restaurant: RestaurantID) {
        let members = members(of: restaurant)
        let now = loop.now
        metrics.deliveries &+= UInt64(members.count)
        var queue = WorkQueue<ClientConnection>()
        writing.exchange(&queue)
        for index in members.indices {
            guard let connection = connection(members[index].connection) else { continue }
            switch connection.take(frame: frame, sequence: sequence, now: now) {
            case .nothing: break
            case .flush: queue.append(connection)
            case .advance:
                // It may make others queue something.
                writing.exchange(&queue)
                connection.advance()
                writing.exchange(&queue)
            }
        }
        writing.exchange(&queue)
    }

    /// A command that was received at `receivedAt` is being answered in this turn.
    func answered(commandReceivedAt receivedAt: Instant) {
        metrics.answering(receivedAt: receivedAt)
        writing.schedule()
    }
}
