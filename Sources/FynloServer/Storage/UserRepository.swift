// Who a token speaks for, and what they may act for: asked of Postgres, by the token's subject and nothing else.

import FynloCore

/// What users may do in a restaurant.
struct AccessRights {
    /// The version of the access to the restaurant.
    let version: Int64
    /// Of those who exist.
    var records: [UserID: AccessRecord] = [:]
}

/// A user, for themselves.
struct UserProfile {
    let name: String
    /// Active restaurants that they may act for.
    let restaurantCount: Int64
    /// The first of them by name, as many as are told.
    let restaurants: [(id: RestaurantID, name: String)]

    /// How many restaurants are told: platform owners have all there are.
    static let restaurants = 1_000
}

/// Reads users and their restaurants.
///
/// Who is asked for in one turn of the loop is asked for together, by one statement: of a crowd that comes back each costs
/// PostgreSQL 10 µs, and not 100.
final class UserRepository {
    private let pool: PostgresPool

    /// One who is to be looked up, for a restaurant.
    private struct Question {
        let subject: String
        let restaurant: RestaurantID
        let reply: (Result<AccessRecord?, PostgresError>) -> Void
    }

    /// Those of this turn.
    private var questions: [Question] = []
    /// So many, at most, wait for one another.
    private static let questionsPerStatement = 64

    init(pool: PostgresPool) {
        self.pool = pool
    }

    private static let access = PostgresStatement(
        name: "access",
        sql: """
            select user_id, role, user_is_active, home_restaurant, is_member, restaurant_is_active, head, menu_version,
                access_version, (select min(seq) - 1 from restaurant_events where restaurant_id = $2)
            from fynlo_access($1::text, $2::uuid)
            """)

    private static let accessOfMany = PostgresStatement(
        name: "access_of_many",
        sql: """
            select f.user_id, f.role, f.user_is_active, f.home_restaurant, f.is_member, f.restaurant_is_active, f.head,
                f.menu_version, f.access_version,
                (select min(seq) - 1 from restaurant_events where restaurant_id = asked.restaurant), asked.place
            from unnest($1::text[], $2::uuid[]) with ordinality asked (subject, restaurant, place)
            cross join lateral fynlo_access(asked.subject, asked.restaurant) f
            """)

    private static let rights = PostgresStatement(
        name: "rights",
        sql: """
            select s.access_version, u.id, u.role, u.is_active, u.restaurant_id, m.user_id is not null,
                coalesce(r.is_active, false)
            from (select $1::uuid as restaurant) asked
            left join restaurants r on r.id = asked.restaurant
            left join restaurant_streams s on s.restaurant_id = asked.restaurant
            left join users u on u.id = any ($2::uuid[])
            left join user_restaurants m on m.user_id = u.id and m.restaurant_id = asked.restaurant
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
        guard let restaurant else { return ask(of: subject, to: nil, reply: reply) }
        if questions.isEmpty { pool.defer { [self] in askQuestions() } }
        questions.append(Question(subject: subject, restaurant: restaurant, reply: reply))
    }

    private func ask(
        of subject: String, to restaurant: RestaurantID?,
        reply: @escaping (Result<AccessRecord?, PostgresError>) -> Void
    ) {
        pool.send(
            UserRepository.access, [.text(subject), .optional(restaurant?.uuid)], .shortRead
        ) { result in
            reply(
                result.flatMap { rows in
                    guard let row = rows.first else { return .success(nil) }
                    return UserRepository.record(row).map { $0 }
                })
        }
    }

    private func askQuestions() {
        let all = questions
        questions.removeAll(keepingCapacity: true)
        for start in stride(from: 0, to: all.count, by: UserRepository.questionsPerStatement) {
            let some = Array(all[start..<min(start + UserRepository.questionsPerStatement, all.count)])
            if let one = some.first, some.count == 1 {
                ask(of: one.subject, to: one.restaurant, reply: one.reply)
            } else {
                ask(some)
            }
        }
    }

    private func ask(_ questions: [Question]) {
        let subjects = UserRepository.array(questions.map(\.subject))
        let restaurants = UserRepository.array(questions.lazy.map(\.restaurant.uuid))
        pool.send(UserRepository.accessOfMany, [.text(subjects), .text(restaurants)], .shortRead) { [pool] result in
            switch result {
            case .failure(let error):
                for question in questions { pool.later { question.reply(.failure(error)) } }
            case .success(let rows):
                var answers = [Result<AccessRecord?, PostgresError>](repeating: .success(nil), count: questions.count)
                for row in rows.rows {
                    guard let place = row.integer(10), (1...Int64(questions.count)).contains(place) else { continue }
                    answers[Int(place) - 1] = UserRepository.record(row).map { $0 }
                }
                for (question, answer) in zip(questions, answers) { pool.later { question.reply(answer) } }
            }
        }
    }

    /// An array in PostgreSQL's text form (8.15.2), each element in quotation marks.
    static func array(_ elements: [String]) -> String {
        var text = ByteBuffer()
        for element in elements {
            text.append(text.isEmpty ? UInt8(ascii: "{") : UInt8(ascii: ","))
            text.append(UInt8(ascii: "\""))
            for byte in element.utf8 {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { text.append(UInt8(ascii: "\\")) }
                text.append(byte)
            }
            text.append(UInt8(ascii: "\""))
        }
        return finished(text)
    }

    /// The same of identifiers, which need no quotation marks.
    static func array(_ identifiers: some Collection<UUID128>) -> String {
        var text = ByteBuffer()
        for identifier in identifiers {
            text.append(text.isEmpty ? UInt8(ascii: "{") : UInt8(ascii: ","))
            text.append(identifier)
        }
        return finished(text)
    }

    private static func finished(_ elements: ByteBuffer) -> String {
        var text = elements
        text.append(text.isEmpty ? "{}" : "}")
        return String(decoding: text.bytes(), as: UTF8.self)
    }

    private static func record(_ row: PostgresRow) -> Result<AccessRecord, PostgresError> {
        guard let user = row.uuid(0), let role = row.string(1), let isActive = row.boolean(2) else {
            return .failure(.unexpectedAnswer("fynlo_access"))
        }
        return .success(
            AccessRecord(
                user: UserID(user), role: Role(rawValue: role), userIsActive: isActive,
                homeRestaurant: row.uuid(3).map(RestaurantID.init), isMember: row.boolean(4) ?? false,
                restaurantIsActive: row.boolean(5) ?? false, head: row.integer(6) ?? 0,
                oldestResumable: row.integer(9) ?? row.integer(6) ?? 0, menuVersion: row.integer(7) ?? 0,
                accessVersion: row.integer(8) ?? 0))
    }

    private static let profile = PostgresStatement(
        name: "profile",
        sql: """
            select u.full_name, r.id, r.name, coalesce(r.total, 0)
            from users u
            left join lateral (
                select r.id, r.name, count(*) over () as total
                from restaurants r
                where r.is_active
                    and (u.role = 'platform_owner' or r.id = u.restaurant_id
                        or exists (select from user_restaurants m where m.user_id = u.id and m.restaurant_id = r.id))
                order by r.name, r.id
                limit \(UserProfile.restaurants)
            ) r on true
            where u.id = $1::uuid
            order by r.name, r.id
            """)

    /// What a user is called, and which restaurants they may act for.
    func profile(of user: UserID, reply: @escaping (Result<UserProfile, PostgresError>) -> Void) {
        pool.send(UserRepository.profile, [.uuid(user.uuid)], .exclusive) { result in
            reply(
                result.map { rows in
                    UserProfile(
                        name: rows.first?.string(0) ?? "", restaurantCount: rows.first?.integer(3) ?? 0,
                        restaurants: rows.rows.compactMap { row in
                            guard let id = row.uuid(1), let name = row.string(2) else { return nil }
                            return (RestaurantID(id), name)
                        })
                })
        }
    }

    /// The rights of these users in a restaurant, all as of one version.
    func rights(
        of users: Set<UserID>, in restaurant: RestaurantID,
        reply: @escaping (Result<AccessRights, PostgresError>) -> Void
    ) {
        let list = UserRepository.array(users.lazy.map(\.uuid))
        pool.send(UserRepository.rights, [.uuid(restaurant.uuid), .text(list)], .live) { result in
            reply(
                result.flatMap { rows in
                    var rights = AccessRights(version: rows.first?.integer(0) ?? 0)
                    for row in rows.rows {
                        guard let user = row.uuid(1).map(UserID.init), let role = row.string(2),
                            let isActive = row.boolean(3)
                        else { continue }
                        rights.records[user] = AccessRecord(
                            user: user, role: Role(rawValue: role), userIsActive: isActive,
                            homeRestaurant: row.uuid(4).map(RestaurantID.init), isMember: row.boolean(5) ?? false,
                            restaurantIsActive: row.boolean(6) ?? false, head: 0, menuVersion: 0,
                            accessVersion: rights.version)
                    }
                    return .success(rights)
                })
        }
    }
}
