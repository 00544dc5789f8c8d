import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Authentication of tablets")
struct AuthenticationTests {
    /// One row of the contract's table: what the tablet does, and how it is refused.
    struct Refusal: CustomTestStringConvertible {
        let name: String
        let error: String
        let code: String
        let isRetryable: Bool
        let closeCode: UInt16
        let closeReason: String
        let act: @Sendable (TestTablet, TestServer, RestaurantID) throws -> Void

        var testDescription: String { name }
    }

    static let refusals: [Refusal] = [
        Refusal(
            name: "nothing arrives in time", error: "Authentication timeout", code: "authentication_timeout",
            isRetryable: true, closeCode: 4002, closeReason: "Authentication timeout"
        ) { _, _, _ in },
        Refusal(
            name: "the first message is something else", error: "First message must be authentication",
            code: "authentication_required", isRetryable: false, closeCode: 4001, closeReason: "Authentication required"
        ) { tablet, _, _ in tablet.say("{\"type\":\"ping\"}") },
        Refusal(
            name: "the first message is not JSON", error: "First message must be authentication",
            code: "authentication_required", isRetryable: false, closeCode: 4001, closeReason: "Authentication required"
        ) { tablet, _, _ in tablet.say("hello") },
        Refusal(
            name: "a required field is missing", error: "Missing authentication data",
            code: "missing_authentication_data", isRetryable: false, closeCode: 4003,
            closeReason: "Authentication failed"
        ) { tablet, _, restaurant in
            tablet.say("{\"type\":\"authenticate\",\"data\":{\"token\":\"x\",\"restaurant_id\":\"\(restaurant)\"}}")
        },
        Refusal(
            name: "the token is signed with another key", error: "Invalid authentication token", code: "invalid_token",
            isRetryable: false, closeCode: 4003, closeReason: "Authentication failed"
        ) { tablet, server, restaurant in
            let user = try server.database.addUser(.employee, at: restaurant)
            let other = Array("another secret, also 32 bytes long".utf8)
            tablet.authenticate(user, at: restaurant, token: user.token(secret: other))
        },
        Refusal(
            name: "the token has expired, leeway included", error: "Invalid authentication token",
            code: "invalid_token", isRetryable: false, closeCode: 4003, closeReason: "Authentication failed"
        ) { tablet, server, restaurant in
            let user = try server.database.addUser(.employee, at: restaurant)
            tablet.authenticate(user, at: restaurant, token: user.token(expiresIn: -31))
        },
        Refusal(
            name: "the user is unknown", error: "Invalid authentication token", code: "invalid_token",
            isRetryable: false, closeCode: 4003, closeReason: "Authentication failed"
        ) { tablet, _, restaurant in
            tablet.authenticate(TestUser(id: UserID(TestDatabase.randomUUID())), at: restaurant)
        },
        Refusal(
            name: "the user is inactive", error: "Invalid authentication token", code: "invalid_token",
            isRetryable: false, closeCode: 4003, closeReason: "Authentication failed"
        ) { tablet, server, restaurant in
            tablet.authenticate(try server.database.addUser(.manager, at: restaurant, isActive: false), at: restaurant)
        },
        Refusal(
            name: "user_id is another user's", error: "Invalid authentication token", code: "invalid_token",
            isRetryable: false, closeCode: 4003, closeReason: "Authentication failed"
        ) { tablet, server, restaurant in
            let user = try server.database.addUser(.employee, at: restaurant)
            let other = try server.database.addUser(.manager, at: restaurant)
            tablet.authenticate(other, at: restaurant, token: user.token())
        },
        Refusal(
            name: "restaurant_id differs from the path's", error: "Access denied to this restaurant",
            code: "access_denied", isRetryable: false, closeCode: 4003, closeReason: "Authentication failed"
        ) { tablet, server, restaurant in
            let user = try server.database.addUser(.employee, at: restaurant)
            tablet.authenticate(user, at: try server.database.addRestaurant())
        },
        Refusal(
            name: "the user belongs to another restaurant", error: "Access denied to this restaurant",
            code: "access_denied", isRetryable: false, closeCode: 4003, closeReason: "Authentication failed"
        ) { tablet, server, restaurant in
            let user = try server.database.addUser(.restaurantOwner, at: try server.database.addRestaurant())
            tablet.authenticate(user, at: restaurant)
        },
        Refusal(
            name: "the restaurant is inactive", error: "Access denied to this restaurant", code: "access_denied",
            isRetryable: false, closeCode: 4003, closeReason: "Authentication failed"
        ) { tablet, server, restaurant in
            let user = try server.database.addUser(.platformOwner, at: nil)
            try server.database.run("update restaurants set is_active = false where id = '\(restaurant)'")
            tablet.authenticate(user, at: restaurant)
        },
    ]

    @Test("refuses, in the contract's words", arguments: refusals)
    func refuses(_ row: Refusal) throws {
        let server = try TestServer(["FYNLO_AUTH_TIMEOUT": "300ms"])
        let restaurant = try server.database.addRestaurant()
        let tablet = try server.tablet(at: restaurant)
        try row.act(tablet, server, restaurant)
        try server.wait(for: "the end") { tablet.isClosed }
        #expect(tablet.messages.count == 1)
        let message = try #require(tablet.messages.first)
        #expect(message["type"].string == "auth_error")
        #expect(message["data"]["error"].string == row.error)
        #expect(message["data"]["code"].string == row.code)
        #expect(message["data"]["retryable"].boolean == row.isRetryable)
        #expect(tablet.closeCode == row.closeCode)
        #expect(tablet.closeReason == row.closeReason)
        #expect(message.members.keys.sorted() == ["data", "id", "restaurant_id", "timestamp", "type"])
        #expect(server.server.hub.tabletCount == 0)
    }

    @Test("lets in whoever may act for the restaurant")
    func accepts() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let other = try server.database.addRestaurant()
        let member = try server.database.addUser(.employee, at: other)
        try server.database.run(
            "insert into user_restaurants (user_id, restaurant_id) values ('\(member.id)', '\(restaurant)')")
        let users: [(TestUser, Role)] = [
            (try server.database.addUser(.employee, at: restaurant), .employee),
            (try server.database.addUser(.manager, at: restaurant), .manager),
            (try server.database.addUser(.restaurantOwner, at: restaurant), .restaurantOwner),
            (try server.database.addUser(.platformOwner, at: nil), .platformOwner),
            (member, .employee),
        ]
        for (user, role) in users {
            let tablet = try server.authenticatedTablet(user, at: restaurant)
            let data = tablet.messages[0]["data"]
            #expect(data["user_id"].string == user.id.description)
            #expect(data["restaurant_id"].string == restaurant.description)
            #expect(data["role"].string == role.rawValue)
            #expect(data["seq"].integer == 0)
            #expect(data["heartbeat_interval_ms"].integer == 15_000)
            #expect(data["resumed"].boolean == false)
            #expect(data["connection_id"].string.flatMap { UUID128($0) } != nil)
            #expect(data["token_expires_at"].string?.hasSuffix("Z") == true)
            #expect(tablet.upgrade?.headers.first("sec-websocket-protocol") == "fynlo.v1")
        }
        #expect(server.server.hub.tabletCount == users.count)
    }

    @Test(
        "understands three generations of tablets",
        arguments: [
            """
            {"type":"authenticate","token":"TOKEN","data":{"user_id":"USER","restaurant_id":"RESTAURANT",\
            "client_type":"mobile_pos","client_version":"1.0.0"},"id":"a1","restaurant_id":"RESTAURANT",\
            "timestamp":"2026-01-31T18:04:05.123Z"}
            """,
            #"{"type":"authenticate","data":{"token":"TOKEN","user_id":"USER","restaurant_id":"RESTAURANT"}}"#,
            """
            {"type":"authenticate","token":"TOKEN","user_id":"USER","restaurant_id":"RESTAURANT",\
            "timestamp":"2026-01-31T18:04:05.123Z"}
            """,
        ])
    func generations(_ layout: String) throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let tablet = try server.tablet(at: restaurant)
        tablet.say(
            layout.replacing("TOKEN", with: user.token()).replacing("USER", with: user.id.description.uppercased())
                .replacing("RESTAURANT", with: restaurant.description.uppercased()))
        try server.wait(for: "an answer") { !tablet.messages.isEmpty }
        #expect(tablet.messages[0]["type"].string == "authenticated")
    }

    @Test("refuses the connection above a limit, and lets it in once a slot is free")
    func limits() throws {
        let server = try TestServer([
            "FYNLO_MAX_CONNECTIONS_PER_RESTAURANT": "3", "FYNLO_MAX_CONNECTIONS_PER_USER": "2",
        ])
        let restaurant = try server.database.addRestaurant()
        let ana = try server.database.addUser(.employee, at: restaurant)
        let ben = try server.database.addUser(.employee, at: restaurant)
        let first = try server.authenticatedTablet(ana, at: restaurant)
        let second = try server.authenticatedTablet(ana, at: restaurant)
        func refused(_ user: TestUser) throws {
            let tablet = try server.tablet(at: restaurant)
            tablet.authenticate(user, at: restaurant)
            try server.wait(for: "a refusal") { tablet.isClosed }
            let data = tablet.messages[0]["data"]
            #expect(data["error"].string == "Connection limit exceeded")
            #expect(data["code"].string == "connection_limit")
            #expect(data["retryable"].boolean == true)
            #expect((data["retry_after_ms"].integer ?? 0) > 0)
            #expect(tablet.closeCode == 4003)
            #expect(tablet.closeReason == "Authentication failed")
        }
        try refused(ana)
        let third = try server.authenticatedTablet(ben, at: restaurant)
        try refused(ben)
        third.close()
        try server.wait(for: "the slot") { server.server.hub.tabletCount == 2 }
        let fourth = try server.authenticatedTablet(ben, at: restaurant)
        for tablet in [first, second, fourth] { #expect(!tablet.isClosed) }
    }

    @Test("counts 100 tablets in a restaurant and 5 of one user by default")
    func defaultLimits() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        var tablets: [TestTablet] = []
        for _ in 0..<20 {
            let user = try server.database.addUser(.employee, at: restaurant)
            for _ in 0..<5 {
                let tablet = try server.tablet(at: restaurant)
                tablet.authenticate(user, at: restaurant)
                tablets.append(tablet)
            }
        }
        try server.wait(for: "100 tablets", atMost: .seconds(30)) { server.server.hub.tabletCount == 100 }
        let late = try server.tablet(at: restaurant)
        late.authenticate(try server.database.addUser(.manager, at: restaurant), at: restaurant)
        try server.wait(for: "the 101st's refusal") { late.isClosed }
        #expect(late.messages[0]["data"]["code"].string == "connection_limit")
        // Another restaurant has its own hundred.
        let other = try server.database.addRestaurant()
        _ = try server.authenticatedTablet(try server.database.addUser(.employee, at: other), at: other)
        #expect(tablets.allSatisfy { !$0.isClosed })
    }

    @Test("replaces the same device's older connection before it counts the limits")
    func replacement() throws {
        let server = try TestServer(["FYNLO_MAX_CONNECTIONS_PER_USER": "1"])
        let restaurant = try server.database.addRestaurant()
        let user = try server.database.addUser(.employee, at: restaurant)
        let old = try server.authenticatedTablet(user, at: restaurant, device: "till-1")
        let new = try server.authenticatedTablet(user, at: restaurant, device: "till-1")
        try server.wait(for: "the old one's end") { old.isClosed }
        #expect(old.closeCode == 4011)
        #expect(!new.isClosed)
        #expect(server.server.hub.tabletCount == 1)
    }

    @Test("answers unavailable, to be tried again, when the database is away; a bad signature is told all the same")
    func unavailable() throws {
        let server = try TestServer(["DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"])
        let restaurant = RestaurantID(TestDatabase.randomUUID())
        let user = TestUser(id: UserID(TestDatabase.randomUUID()))
        let tablet = try server.tablet(at: restaurant)
        tablet.authenticate(user, at: restaurant)
        try server.wait(for: "the refusal") { tablet.isClosed }
        #expect(tablet.messages[0]["data"]["error"].string == "Authentication failed")
        #expect(tablet.messages[0]["data"]["code"].string == "unavailable")
        #expect(tablet.messages[0]["data"]["retryable"].boolean == true)
        #expect(tablet.closeCode == 4000)
        #expect(tablet.closeReason == "Internal error")
        let forger = try server.tablet(at: restaurant)
        forger.authenticate(user, at: restaurant, token: user.token(secret: Array(repeating: 7, count: 32)))
        try server.wait(for: "the forger's refusal") { forger.isClosed }
        #expect(forger.messages[0]["data"]["code"].string == "invalid_token")
    }
}
