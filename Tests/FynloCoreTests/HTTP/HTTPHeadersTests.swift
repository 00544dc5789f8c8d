import FynloCore
import Testing

@Suite("HTTPHeaders")
struct HTTPHeadersTests {
    static let sample: HTTPHeaders = [
        "Host": "a", "Accept": "x", "connection": "Upgrade, ,keep-alive", "ACCEPT": "", "Connection": "\tX ,,",
    ]

    @Test("finds fields by name without case, in order")
    func lookUp() {
        let headers = Self.sample
        #expect(headers.count == 5)
        #expect(headers.first("host") == "a")
        #expect(headers.first("HOST") == "a")
        #expect(headers.first("hos") == nil)
        #expect(headers.first("hostx") == nil)
        #expect(headers.first("") == nil)
        #expect(headers.values("accept") == ["x", ""])
        #expect(headers.count("accept") == 2)
        #expect(headers.count("x") == 0)
        #expect(headers[1] == (name: "Accept", value: "x"))
    }

    @Test("reads lists across fields, lower-cased, without empty elements")
    func tokens() {
        let headers = Self.sample
        #expect(headers.tokens("connection") == ["upgrade", "keep-alive", "x"])
        #expect(headers.tokens("accept") == ["x"])
        #expect(headers.tokens("missing") == [])
        #expect(headers.hasToken("UPGRADE", in: "Connection"))
        #expect(headers.hasToken("x", in: "connection"))
        #expect(!headers.hasToken("keep", in: "connection"))
        #expect(!headers.hasToken("", in: "connection"))
    }

    @Test(
        "tells by If-None-Match whether the client holds what it asks for",
        arguments: [
            ([], false), (["*"], true), (["\"ab12\""], true), (["W/\"ab12\""], true), (["w/\"ab12\""], true),
            (["\"x\", \"ab12\""], true), (["\"x\"", "\"ab12\""], true), (["ab12"], false), (["\"ab1\""], false),
            (["\"x\""], false), ([""], false),
        ])
    func entityTags(fields: [String], isHeld: Bool) {
        var headers = HTTPHeaders()
        for field in fields { headers.append("If-None-Match", field) }
        let request = HTTPRequest(method: .get, path: "/", headers: headers)
        #expect(request.holds(entityTag: "\"ab12\"") == isHeld)
    }

    @Test("sets and removes every field of a name and keeps the rest in order")
    func changing() {
        var headers = Self.sample
        headers.set("ACCEPT", "y")
        headers.remove("connection")
        headers.remove("missing")
        #expect(headers == ["host": "a", "accept": "y"])
        #expect(headers != ["accept": "y", "host": "a"])
        #expect(headers != ["host": "A", "accept": "y"])
        headers.remove("host")
        headers.remove("accept")
        #expect(headers.isEmpty && headers == HTTPHeaders())
    }

    @Test(
        "lets no value end its line or hold a control character",
        arguments: [
            ("a\r\nSet-Cookie: x", "aSet-Cookie: x"), ("\r\n\r\nbody", "body"), ("a\0b\u{1b}[0m\u{7f}", "ab[0m"),
            (" \t a\tb \t", "a\tb"), ("", ""), ("\n", ""), ("café ✓", "café ✓"), (" \r\n ", ""),
        ])
    func sanitising(value: String, sent: String) {
        var headers = HTTPHeaders()
        headers.append("X", value)
        headers.append("Y", "next")
        #expect(headers.first("x") == sent)
        var output = ByteBuffer()
        HTTPEncoder.encodeRequest(
            method: .get, target: "/", headers: headers.with("Host", "h"), body: [], into: &output)
        #expect(output.bytes() == Array("GET / HTTP/1.1\r\nX: \(sent)\r\nY: next\r\nHost: h\r\n\r\n".utf8))
    }
}

extension HTTPHeaders {
    /// The same with one more field.
    func with(_ name: String, _ value: String) -> HTTPHeaders {
        var headers = self
        headers.append(name, value)
        return headers
    }
}

@Suite("HTTPRequest")
struct HTTPRequestTests {
    @Test(
        "decodes the query as forms are, in order, with repetitions",
        arguments: [
            (nil, []), ("", []), ("&&", []), ("a=1&b=2&a=3", ["a=1", "b=2", "a=3"]), ("a", ["a="]), ("=", ["="]),
            ("=v", ["=v"]), ("a=b=c", ["a=b=c"]), ("a=1&", ["a=1"]), ("a+b=c+d%2B", ["a b=c d+"]),
            ("%61%3D=%26", ["a==&"]), ("q=caf%c3%A9", ["q=café"]), ("x=%0d%0a", ["x=\r\n"]), ("a;b=1", ["a;b=1"]),
        ] as [(String?, [String])])
    func query(query: String?, items: [String]) throws {
        let request = HTTPRequest(method: .get, path: "/", query: query)
        #expect(try request.queryItems().map { "\($0.name)=\($0.value)" } == items)
    }

    @Test(
        "refuses a query that is no text",
        arguments: [
            ("a=%", .invalidPercentEncoding), ("a=%4", .invalidPercentEncoding), ("%zz", .invalidPercentEncoding),
            ("a=%&b=00", .invalidPercentEncoding), ("a=%-1", .invalidPercentEncoding), ("a=%ff", .invalidQuery),
            ("a=%00", .invalidQuery), ("%c0%80=a", .invalidQuery), ("a=%c3&b=%a9", .invalidQuery),
        ] as [(String, HTTPError)])
    func badQuery(query: String, error: HTTPError) {
        let request = HTTPRequest(method: .get, path: "/", query: query)
        #expect(throws: error) { try request.queryItems() }
    }
}
