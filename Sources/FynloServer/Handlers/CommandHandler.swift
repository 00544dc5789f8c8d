// Commands on orders: to the repository, and back to the tablet that asked; their events to everyone.

import FynloCore

/// Carries out the orders' storage requests.
final class CommandHandler {
    private let hub: Hub
    private let feeds: FeedHandler
    private let orders: OrderRepository
    private let log: Logger

    init(hub: Hub, feeds: FeedHandler, orders: OrderRepository, log: Logger) {
        self.hub = hub
        self.feeds = feeds
        self.orders = orders
        self.log = log
    }

    /// Does what a connection asked of storage; the connection is told, if it is still there.
    func handle(_ request: StorageRequest, receivedAt: Instant, connection number: UInt64) {
        switch request {
        case .updateOrderStatus(let update, let restaurant, let user, let messageID):
            orders.updateStatus(update, in: restaurant, by: user, messageID: messageID) { [weak self] result in
                guard let self else { return }
                self.hub.answered(commandReceivedAt: receivedAt)
                switch result {
                case .success(let done):
                    self.hub.connection(number)?.deliver(command: done.answer)
                    if let event = done.event { self.feeds.committed(event) }
                case .failure(let error):
                    self.log.warning(
                        "command_failed", ["connection": self.hub.name(of: number), "error": error.description])
                    self.hub.connection(number)?.deliver(command: .refused(APIError(error)))
                }
            }
        }
    }
}
