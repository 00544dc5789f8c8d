import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The console")
struct ConsoleTests {
    private static let pages = ["/console", "/console/tablet", "/docs"]

    /// The paths that a page or a file of it refers to.
    private func references(_ answer: HTTPResponse) -> Set<String> {
        let text = String(decoding: answer.body, as: UTF8.self)
        let quoted = text.matches(of: /"(?:\/console\/assets|\.)\/([a-z]+\.[0-9a-z.]+)"/).map { String($0.output.1) }
        return Set(quoted.map { "/console/assets/\($0)" })
    }

    @Test("pages are served to anybody, asked about each time, and need not be fetched twice", arguments: pages)
    func page(path: String) throws {
        let server = try TestServer()
        let answer = try server.request(.get, path)
        #expect(answer.status == 200)
        #expect(answer.headers.first("content-type") == "text/html; charset=utf-8")
        #expect(answer.headers.first("cache-control") == "no-cache")
        #expect(String(decoding: answer.body, as: UTF8.self).hasPrefix("<!doctype html>"))
        let tag = try #require(answer.headers.first("etag"))
        for method in [HTTPMethod.get, .head] {
            for (field, status) in [(tag, 304), ("\"x\"", 200)] {
                let again = try server.request(method, path, headers: ["If-None-Match": field])
                #expect(again.status == status && again.headers.first("etag") == tag)
                #expect(again.body == (status == 200 && method == .get ? answer.body : []))
            }
        }
        #expect(try server.request(.post, path).headers.first("allow") == "GET, HEAD")
    }

    @Test("all that pages refer to is there, under names that change with it, to be kept for ever", arguments: pages)
    func assets(page: String) throws {
        let server = try TestServer()
        var waiting = references(try server.request(.get, page))
        var seen: Set<String> = []
        #expect(waiting.count > 2)
        while let path = waiting.popFirst() {
            guard seen.insert(path).inserted else { continue }
            let answer = try server.request(.get, path)
            #expect(answer.status == 200, "\(path)")
            #expect(answer.headers.first("cache-control") == "public, max-age=31536000, immutable")
            let digest = SHA1.digest(answer.body.span).hexadecimal
            #expect(path.split(separator: ".")[1] == digest.prefix(12), "\(path)")
            let kinds = ["js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"]
            let kind = kinds[path.split(separator: ".").last.map(String.init) ?? ""] ?? "?"
            #expect(answer.headers.first("content-type")?.hasPrefix(kind) == true, "\(path)")
            let head = try server.request(.head, path)
            #expect(head.status == 200 && head.body.isEmpty)
            #expect(head.headers.first("content-length") == "\(answer.body.count)")
            let tag = try #require(answer.headers.first("etag"))
            #expect(try server.request(.get, path, headers: ["If-None-Match": tag]).status == 304)
            waiting.formUnion(references(answer))
        }
        // Whoever made a module has to make its users refer to it.
        #expect(page == "/docs" || seen.contains { $0.hasPrefix("/console/assets/client.") })
    }

    @Test("every answer says what the page may do: nothing but what this server serves, and no scripts within it")
    func policy() throws {
        let server = try TestServer()
        let asset = try #require(ConsoleEndpoint.files.assets.keys.first)
        for path in Self.pages + ["/console/assets/\(asset)"] {
            for headers: HTTPHeaders in [[:], ["If-None-Match": "*"]] {
                let fields = try server.request(.get, path, headers: headers).headers
                let policy = try #require(fields.first("content-security-policy"))
                let directives = policy.split(separator: "; ").map(String.init)
                for directive in [
                    "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
                    "img-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
                    "require-trusted-types-for 'script'", "trusted-types 'none'",
                ] {
                    #expect(directives.contains(directive), "\(path)")
                }
                #expect(!policy.contains("unsafe") && directives.count == 10)
                #expect(fields.first("x-content-type-options") == "nosniff")
                #expect(fields.first("referrer-policy") == "no-referrer")
                #expect(fields.first("cross-origin-opener-policy") == "same-origin")
            }
        }
    }

    @Test(
        "a file that is not there is 404, by its bare name too",
        arguments: ["client.js", "client.000000000000.js", "console.html", "...", "openapi.json", "a%20b", ""])
    func missing(name: String) throws {
        let answer = try TestServer().request(.get, "/console/assets/\(name)")
        #expect(answer.status == 404)
        #expect(answer.headers.first("content-type") == "application/problem+json")
    }

    @Test("a changed file changes its own name, and the names of all that refer to it")
    func names() {
        func files(_ leaf: String) -> ConsoleFiles {
            ConsoleFiles([
                ("console.html", "<!doctype html><script src=\"/console/assets/top.js\"></script>"),
                ("tablet.html", "<!doctype html><link href=\"/console/assets/other.css\">"),
                ("top.js", "import \"./middle.js\"; import './leaf.js'"), ("middle.js", "import x from \"./leaf.js\";"),
                ("leaf.js", leaf), ("other.css", "p {}"), ("ignored.sql", "select 1"),
            ])
        }
        let (old, same, new) = (files("1"), files("1"), files("2"))
        #expect(old.assets.keys.sorted() == same.assets.keys.sorted())
        #expect(old.assets.count == 4)
        let stems = Set(old.assets.keys).intersection(new.assets.keys).map { $0.prefix { $0 != "." } }
        #expect(stems == ["other"])
        #expect(old.page(.console).entityTag != new.page(.console).entityTag)
        #expect(old.page(.tablet).entityTag == new.page(.tablet).entityTag)
    }
}

@Suite("Who a token speaks for")
struct ProfileTests {
    private static let path = "/api/v1/me"

    @Test("users see themselves and the active restaurants they may act for, by name")
    func own() throws {
        let server = try TestServer()
        let database = server.database
        let (home, second) = (try database.addRestaurant(), try database.addRestaurant())
        let closed = try database.addRestaurant(isActive: false)
        _ = try database.addRestaurant()
        try database.run("update restaurants set name = 'Zum \"Anker\" <b>' where id = '\(home)'")
        try database.run("update restaurants set name = 'Anna' where id = '\(second)'")
        let user = try database.addUser(.employee, at: home)
        for other in [second, closed, home] {
            try database.run("insert into user_restaurants values ('\(user.id)', '\(other)')")
        }
        let answer = try server.request(.get, Self.path, token: user.token())
        #expect(answer.status == 200 && answer.headers.first("cache-control") == "no-store")
        let body = try Document(answer.body)
        #expect(body["user_id"].string == user.id.description)
        #expect(body["role"].string == "employee")
        #expect(body["restaurant_count"].integer == 2)
        #expect(body["restaurants"].elements.map { $0["name"].string } == ["Anna", "Zum \"Anker\" <b>"])
        #expect(body["restaurants"].elements.map { $0["id"].string } == [second.description, home.description])
        let alone = try Document(
            try server.request(.get, Self.path, token: database.addUser(.manager, at: closed).token()).body)
        #expect(alone["restaurant_count"].integer == 0 && alone["restaurants"] == .array([]))
    }

    @Test("platform owners see all active restaurants, or the first thousand and how many there are")
    func all() throws {
        let server = try TestServer()
        let owner = try server.database.addUser(.platformOwner, at: nil)
        try server.database.run(
            "insert into restaurants (name) select 'R' || lpad(n::text, 5, '0') from generate_series(1, 1003) n")
        let body = try Document(try server.request(.get, Self.path, token: owner.token()).body)
        #expect(body["role"].string == "platform_owner")
        #expect((body["restaurant_count"].integer ?? 0) >= 1_003)
        #expect(body["restaurants"].elements.count == 1_000)
    }

    @Test("nobody else is told anything")
    func refused() throws {
        let server = try TestServer()
        let restaurant = try server.database.addRestaurant()
        let left = try server.database.addUser(.manager, at: restaurant)
        try server.database.run("update users set is_active = false where id = '\(left.id)'")
        for token in [nil, "nonsense", left.token()] {
            #expect(try server.request(.get, Self.path, token: token).status == 401)
        }
    }
}
