import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("Published files")
struct PublishedFileTests {
    private static let origin = "https://pos.example"

    @Test(
        "documents and the client are served to anybody, and need not be fetched twice",
        arguments: [
            ("/asyncapi.json", "application/json", "public, max-age=300"),
            ("/client.js", "text/javascript; charset=utf-8", "no-cache"),
            ("/client.d.ts", "text/plain; charset=utf-8", "no-cache"),
        ])
    func files(path: String, type: String, caching: String) throws {
        let server = try TestServer()
        let answer = try server.request(.get, path)
        #expect(answer.status == 200 && !answer.body.isEmpty)
        #expect(answer.headers.first("content-type") == type)
        #expect(answer.headers.first("cache-control") == caching)
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

    @Test("the messages' description has this program's version")
    func asyncAPI() throws {
        let document = try Document(try TestServer().request(.get, "/asyncapi.json").body)
        #expect(document["info"]["version"].string == fynloVersion)
        #expect(document["asyncapi"].string?.hasPrefix("3.") == true)
    }

    @Test("the client is the console's, and tells its version")
    func client() throws {
        let text = String(decoding: try TestServer().request(.get, "/client.js").body, as: UTF8.self)
        #expect(text.hasPrefix("// Fynlo \(fynloVersion)"))
        #expect(text.contains("\nexport const VERSION = \"\(fynloVersion)\";\n"))
        let file = try #require(EmbeddedFiles.all.first { $0.name == "client.js" })
        #expect(text.hasSuffix(file.text) && !file.text.contains("import "), "it needs nothing beside it")
    }

    @Test("pages of listed origins may import the client, and no others")
    func origins() throws {
        let server = try TestServer(["FYNLO_ALLOWED_ORIGINS": Self.origin])
        for (origin, allowed) in [(Self.origin, Self.origin), ("https://evil.example", nil)] as [(String, String?)] {
            let fields = try server.request(.get, "/client.js", headers: ["Origin": origin]).headers
            #expect(fields.first("access-control-allow-origin") == allowed)
            #expect(fields.first("vary") == "Origin")
            #expect(fields.first("cross-origin-resource-policy") == nil)
        }
        let bare = try TestServer().request(.get, "/client.js", headers: ["Origin": Self.origin])
        #expect(bare.headers.first("access-control-allow-origin") == nil)
    }

    @Test("the front page is a page for browsers and JSON for others, each with a tag of its own")
    func root() throws {
        let server = try TestServer()
        var tags: Set<String> = []
        for accept in ["text/html", "text/html,application/xhtml+xml,*/*;q=0.8", "*/*, text/html;q=0.9"] {
            let page = try server.request(.get, "/", headers: ["Accept": accept])
            #expect(page.headers.first("content-type") == "text/html; charset=utf-8", "\(accept)")
            #expect(page.headers.first("vary") == "Accept")
            let text = String(decoding: page.body, as: UTF8.self)
            for link in ["/console", "/console/tablet", "/docs"] { #expect(text.contains("href=\"\(link)\"")) }
            tags.insert(try #require(page.headers.first("etag")))
        }
        for accept in [nil, "*/*", "application/json", "text/plain", "text/htmlx"] as [String?] {
            let answer = try server.request(.get, "/", headers: accept.map { ["Accept": $0] } ?? [:])
            #expect(answer.headers.first("content-type") == "application/json", "\(accept ?? "none")")
            #expect(answer.headers.first("vary") == "Accept")
            let document = try Document(answer.body)
            #expect(document["name"].string == "fynlo-server" && document["version"].string == fynloVersion)
            #expect(
                document["links"].members.mapValues(\.string) == [
                    "console": "/console", "tablet": "/console/tablet", "docs": "/docs", "health": "/health",
                    "openapi": "/openapi.json", "asyncapi": "/asyncapi.json",
                ])
            tags.insert(try #require(answer.headers.first("etag")))
        }
        #expect(tags.count == 2)
    }

    @Test("with a listener for operators the front page names only what is at its own")
    func links() throws {
        let server = try TestServer(["FYNLO_ADMIN_LISTEN": "127.0.0.1:0"])
        let links = try Document(try server.request(.get, "/").body)["links"].members
        #expect(Set(links.keys) == ["console", "tablet", "docs"])
        for link in links.values { #expect(try server.request(.get, try #require(link.string)).status == 200) }
        #expect(try server.request(.get, "/asyncapi.json").status == 404)
    }
}
