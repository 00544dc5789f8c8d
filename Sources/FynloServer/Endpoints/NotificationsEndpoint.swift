// What managers tell everybody in their restaurant.

import FynloCore

/// Answers `POST /api/v1/notifications`.
final class NotificationsEndpoint {
    private let authorizer: RequestAuthorizer
    private let feeds: FeedHandler
    private let notifications: NotificationRepository
    private let limits: Limits
    private let log: Logger

    init(
        authorizer: RequestAuthorizer, feeds: FeedHandler, notifications: NotificationRepository,
        limits: Limits, log: Logger
    ) {
        self.authorizer = authorizer
        self.feeds = feeds
        self.notifications = notifications
        self.limits = limits
        self.log = log
    }

    /// The answer has the place of the event in the stream.
    func post(_ request: HTTPRequest, reply: @escaping Reply) {
        let limits = limits
        authorizer.authorize(request, .management, reply: reply) { () throws(APIError) in
            (notification: try Notification(request, limits: limits), key: try request.idempotencyKey(limits))
        } restaurant: {
            $0.notification.restaurant
        } then: { [self] parsed, record in
            notifications.post(parsed.notification, by: record.user, messageID: parsed.key) { [self] result in
                switch result {
                case .success(let outcome):
                    reply(
                        outcome.answer.map { sequence in
                            .json(202, Array("{\"seq\":\(sequence)}".utf8), eventSequence: sequence)
                        })
                    if let event = outcome.event { feeds.committed(event) }
                case .failure(let error):
                    log.warning("command_failed", ["request": request.id.description, "error": error.description])
                    reply(.failure(APIError(error, ofRepeatableCommand: parsed.key != nil)))
                }
            }
        }
    }
}
