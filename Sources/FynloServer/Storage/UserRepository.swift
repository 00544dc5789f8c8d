// Who a token speaks for, and what they may act for: asked of Postgres, by the token's subject and nothing else.

import FynloCore

/// Reads users and their restaurants.
struct UserRepository {
    let pool: PostgresPool

    private static let access = PostgresStatement(
        name: "access",
        sql: """
            select user_id, role, user_is_active, home_restaurant, is_member, restaurant_is_active, head, menu_version
            from fynlo_access($1::text, $2::uuid)
            """)

    /// What is known of the user with `users.supabase_id = subject` and of the restaurant they ask for; `nil`: there is
    /// no such user. Without a restaurant, only the user is looked up.
    func access(
        of subject: String, to restaurant: RestaurantID?,
        reply: @escaping (Result<AccessRecord?, PostgresError>) -> Void
    ) {
        guard !subject.utf8.contains(0) else {
            // Postgres has no text with a NUL in it, so no user has such a subject.
            return pool.defer { reply(.success(nil)) }
        }
        pool.send(
            UserRepository.access, [.text(subject), .optional(restaurant?.uuid)], .shortRead
        ) { result in
            reply(result.flatMap(UserRepository.record))
        }
    }

    private static func record(_ result: PostgresResult) -> Result<AccessRecord?, PostgresError> {
        guard let row = result.first else { return .success(nil) }
        guard let user = row.uuid(0), let role = row.string(1), let isActive = row.boolean(2) else {
            return .failure(.unexpectedAnswer("fynlo_access"))
        }
        return .success(
            AccessRecord(
                user: UserID(user), role: Role(rawValue: role), userIsActive: isActive,
                homeRestaurant: row.uuid(3).map(RestaurantID.init), isMember: row.boolean(4) ?? false,
                restaurantIsActive: row.boolean(5) ?? false, head: row.integer(6) ?? 0,
                menuVersion: row.integer(7) ?? 0))
    }
}
