// The user whom a token identifies: what a page has to know before it can connect as a tablet.

import FynloCore

/// Answers `GET /api/v1/me`.
final class ProfileEndpoint {
    private let authorizer: RequestAuthorizer
    private let users: UserRepository
    private let log: Logger

    init(authorizer: RequestAuthorizer, users: UserRepository, log: Logger) {
        self.authorizer = authorizer
        self.users = users
        self.log = log
    }

    /// The user, their role, and the restaurants that they may act for.
    func profile(_ request: HTTPRequest, reply: @escaping Reply) {
        authorizer.authorizeUser(request, reply: reply) { [users, log] record, role in
            users.profile(of: record.user) { result in
                switch result {
                case .success(let profile):
                    reply(.success(.json(200, ProfileEndpoint.body(profile, record.user, role))))
                case .failure(let error):
                    reply(.failure(log.failure("profile_unread", error, of: request)))
                }
            }
        }
    }

    private static func body(_ profile: UserProfile, _ user: UserID, _ role: Role) -> [UInt8] {
        var body = ByteBuffer("{\"user_id\":")
        body.append(json: user.uuid)
        body.append(",\"full_name\":")
        body.append(jsonString: profile.name)
        body.append(",\"role\":\"\(role.rawValue)\",\"restaurant_count\":\(profile.restaurantCount)")
        body.append(",\"restaurants\":[")
        for (index, restaurant) in profile.restaurants.enumerated() {
            body.append(index > 0 ? ",{\"id\":" : "{\"id\":")
            body.append(json: restaurant.id.uuid)
            body.append(",\"name\":")
            body.append(jsonString: restaurant.name)
            body.append("}")
        }
        body.append("]}")
        return body.bytes()
    }
}
