import FynloCore
import Testing

@testable import FynloServer

@Suite("Users looked up together")
struct UserRepositoryTests {
    @Test("an array is what PostgreSQL reads as the same texts, whatever is in them")
    func array() throws {
        let database = try TestDatabase()
        let texts = ["plain", "with \"quotes\"", "back\\slash\\", "NULL", "{a,b}", " spaces ", "", "é\u{301}", "it's"]
        let literal = UserRepository.array(texts).replacing("'", with: "''")
        for (place, text) in texts.enumerated() {
            #expect(try database.value("select ('\(literal)'::text[])[\(place + 1)]") == text)
        }
        #expect(try database.value("select cardinality('\(literal)'::text[])") == String(texts.count))
        #expect(UserRepository.array([String]()) == "{}")
        #expect(UserRepository.array([UUID128]()) == "{}")
        let identifiers = (0..<3).map { _ in TestDatabase.randomUUID() }
        #expect(try database.value("select ('\(UserRepository.array(identifiers))'::uuid[])[3]") == "\(identifiers[2])")
    }

    @Test("each of a crowd is answered for itself: users of two restaurants, one who has left, and subjects nobody has")
    func crowd() throws {
        let server = try TestServer(["FYNLO_MAX_CONNECTIONS_PER_USER": "100"])
        let database = server.database
        let restaurants = try (0..<2).map { _ in try database.addRestaurant() }
        let users = try restaurants.map { try database.addUser(.employee, at: $0) }
        let gone = try database.addUser(.employee, at: restaurants[0])
        try database.run("update users set is_active = false where id = '\(gone.id)'")
        let stranger = try database.addUser(.employee, at: restaurants[0])
        try database.run("update users set supabase_id = 'an\"other\\' where id = '\(stranger.id)'")
        var crowd: [(tablet: TestTablet, expected: String)] = []
        for number in 0..<80 {
            let (user, place, expected) =
                switch number % 5 {
                case 0: (users[0], 0, "authenticated")
                case 1: (users[1], 1, "authenticated")
                case 2: (users[0], 1, "access_denied")
                case 3: (gone, 0, "invalid_token")
                default: (stranger, 0, "invalid_token")
                }
            let tablet = try server.tablet(at: restaurants[place])
            tablet.authenticate(user, at: restaurants[place])
            crowd.append((tablet, expected))
        }
        try server.wait(for: "all answers") { crowd.allSatisfy { !$0.tablet.messages.isEmpty } }
        for (tablet, expected) in crowd {
            let first = tablet.messages[0]
            #expect((first["data"]["code"].string ?? first["type"].string) == expected)
        }
    }
}
