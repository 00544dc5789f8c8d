// Tablets' commands: they go to storage, the answer to the tablet that asked, and the event to every tablet.

import FynloCore

/// Carries out what tablets ask of storage.
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

    /// Carries out a connection's request and tells the connection, if it still exists.
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
