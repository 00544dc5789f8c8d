// Notifications: what managers tell everybody in their restaurant.

import FynloCore

/// Answers `POST /api/v1/notifications`.
final class NotificationsEndpoint {
    private let authorizer: RequestAuthorizer
    private let commands: CommandReply
    private let notifications: NotificationRepository
    private let limits: Limits

    init(
        authorizer: RequestAuthorizer, feeds: FeedHandler, notifications: NotificationRepository,
        limits: Limits, log: Logger
    ) {
        self.authorizer = authorizer
        commands = CommandReply(feeds: feeds, log: log)
        self.notifications = notifications
        self.limits = limits
    }

    /// The answer tells the event's place in the stream.
    func post(_ request: HTTPRequest, reply: @escaping Reply) {
        let limits = limits
        authorizer.authorize(request, .management, reply: reply) { () throws(APIError) in
            (notification: try Notification(request, limits: limits), key: try request.idempotencyKey(limits))
        } restaurant: {
            $0.notification.restaurant
        } then: { [commands, notifications] parsed, record in
            notifications.post(parsed.notification, by: record.user, messageID: parsed.key) { result in
                commands.finish(result, of: request, isRepeatable: parsed.key != nil, reply) { sequence in
                    .json(202, Array("{\"seq\":\(sequence)}".utf8), eventSequence: sequence)
                }
            }
        }
    }
}
