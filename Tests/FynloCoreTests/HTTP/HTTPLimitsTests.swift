import FynloCore
import Testing

@Suite("HTTPLimits")
struct HTTPLimitsTests {
    /// One limit: a request that uses a given amount of it, the limit, and the error beyond it.
    struct Row: Sendable, CustomTestStringConvertible {
        let name: String
        let limit: Int
        let error: HTTPError
        let request: @Sendable (_ amount: Int) -> String
        var testDescription: String { name }
    }

    private static let chunkedHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

    static let rows: [Row] = [
        Row(name: "bytes of the request line", limit: 32, error: .requestLineTooLong(limitBytes: 32)) { amount in
            "GET /\(repeated("x", amount - 14)) HTTP/1.1\r\nHost: a\r\n\r\n"
        },
        Row(name: "bytes of the fields", limit: 64, error: .headerTooLarge(limitBytes: 64)) { amount in
            "GET / HTTP/1.1\r\nHost: a\r\nA: \(repeated("x", amount - 14))\r\n\r\n"
        },
        Row(name: "bytes of many fields", limit: 64, error: .headerTooLarge(limitBytes: 64)) { amount in
            "GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\nA: \(repeated("x", amount - 22))\r\n\r\n"
        },
        Row(name: "number of fields", limit: 4, error: .tooManyFields(limit: 4)) { amount in
            "GET / HTTP/1.1\r\nHost: a\r\n\(repeated("A:\r\n", amount - 1))\r\n"
        },
        Row(name: "bytes of a body with a length", limit: 16, error: .bodyTooLarge(limitBytes: 16)) { amount in
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(amount)\r\n\r\n\(repeated("x", amount))"
        },
        Row(name: "bytes of one chunk", limit: 16, error: .bodyTooLarge(limitBytes: 16)) { amount in
            chunkedHead + "\(String(amount, radix: 16))\r\n\(repeated("x", amount))\r\n0\r\n\r\n"
        },
        Row(name: "bytes of many chunks", limit: 16, error: .bodyTooLarge(limitBytes: 16)) { amount in
            chunkedHead + repeated("1\r\nx\r\n", amount) + "0\r\n\r\n"
        },
        Row(
            name: "bytes of one chunk extension", limit: 8, error: .chunkExtensionsTooLarge(limitBytes: 8)
        ) { amount in
            chunkedHead + "1;\(repeated("e", amount - 1))\r\nx\r\n0\r\n\r\n"
        },
        Row(
            name: "bytes of many chunk extensions", limit: 8, error: .chunkExtensionsTooLarge(limitBytes: 8)
        ) { amount in
            chunkedHead + repeated("1;\r\nx\r\n", amount) + "0\r\n\r\n"
        },
        Row(name: "bytes of the trailers", limit: 24, error: .trailersTooLarge(limitBytes: 24)) { amount in
            chunkedHead + "0\r\nA: 1\r\nB: \(repeated("x", amount - 11))\r\n\r\n"
        },
        Row(name: "number of trailers", limit: 4, error: .tooManyFields(limit: 4)) { amount in
            chunkedHead + "0\r\n\(repeated("A:\r\n", amount))\r\n"
        },
        Row(name: "empty lines before a request", limit: 2, error: .tooManyEmptyLines) { amount in
            repeated("\r\n", amount) + "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        },
    ]

    @Test("holds just below and at the limit, and refuses just above it", arguments: rows)
    func boundary(row: Row) throws {
        for amount in [row.limit - 1, row.limit] {
            let input = latin1(row.request(amount))
            let parsed = parseRequests(input, limits: .small)
            #expect(parsed.messages.count == 1 && parsed.error == nil, "\(amount)")
            checkEverySplit(input, expected: parsed) { parseRequests($0, cuts: $1, limits: .small) }
        }
        let refused = Parsed<HTTPRequest>(messages: [], error: row.error)
        for amount in [row.limit + 1, row.limit + 2, row.limit * 3] {
            checkEverySplit(latin1(row.request(amount)), expected: refused) {
                parseRequests($0, cuts: $1, limits: .small)
            }
        }
    }

    /// The limits as they are, by a request that uses just so much.
    static let defaults: [Row] = [
        Row(name: "8 KiB of request line", limit: 8_192, error: .requestLineTooLong(limitBytes: 8_192)) { amount in
            "GET /\(repeated("x", amount - 14)) HTTP/1.1\r\nHost: a\r\n\r\n"
        },
        Row(name: "16 KiB of fields", limit: 16_384, error: .headerTooLarge(limitBytes: 16_384)) { amount in
            "GET / HTTP/1.1\r\nHost: a\r\nA: \(repeated("x", amount - 14))\r\n\r\n"
        },
        Row(name: "100 fields", limit: 100, error: .tooManyFields(limit: 100)) { amount in
            "GET / HTTP/1.1\r\nHost: a\r\n\(repeated("A:\r\n", amount - 1))\r\n"
        },
        Row(name: "1 MiB of body", limit: 1_048_576, error: .bodyTooLarge(limitBytes: 1_048_576)) { amount in
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(amount)\r\n\r\n\(repeated("x", amount))"
        },
        Row(name: "1 MiB in chunks", limit: 1_048_576, error: .bodyTooLarge(limitBytes: 1_048_576)) { amount in
            chunkedHead + "80000\r\n\(repeated("x", 524_288))\r\n\(String(amount - 524_288, radix: 16))\r\n"
                + "\(repeated("x", amount - 524_288))\r\n0\r\n\r\n"
        },
        Row(name: "4 KiB of trailers", limit: 4_096, error: .trailersTooLarge(limitBytes: 4_096)) { amount in
            chunkedHead + "0\r\nA: \(repeated("x", amount - 5))\r\n\r\n"
        },
        Row(
            name: "1 KiB of chunk extensions", limit: 1_024, error: .chunkExtensionsTooLarge(limitBytes: 1_024)
        ) { amount in
            chunkedHead + "1;\(repeated("e", amount - 1))\r\nx\r\n0\r\n\r\n"
        },
    ]

    @Test("are what the defaults say, to the byte", arguments: defaults)
    func defaultLimits(row: Row) {
        let taken = parseRequests(latin1(row.request(row.limit)))
        #expect(taken.messages.count == 1 && taken.error == nil)
        let refused = parseRequests(latin1(row.request(row.limit + 1)))
        #expect(refused.messages.isEmpty && refused.error == row.error)
    }

    @Test("refuses a line, a head and a body that never end as soon as their limit is passed")
    func endless() {
        let line = parseRequests(latin1("GET /" + repeated("x", 28)), limits: .small)
        #expect(line.error == .requestLineTooLong(limitBytes: 32))
        let head = parseRequests(latin1("GET / HTTP/1.1\r\nHost: a\r\nA: " + repeated("x", 51)), limits: .small)
        #expect(head.error == .headerTooLarge(limitBytes: 64))
        let size = parseRequests(latin1(Self.chunkedHead + repeated("0", 25)), limits: .small)
        #expect(size.error == .chunkExtensionsTooLarge(limitBytes: 8))
        // A length is refused before its body comes.
        let body = parseRequests(
            latin1("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n"), limits: .small)
        #expect(body.error == .bodyTooLarge(limitBytes: 16))
    }

    @Test("starts afresh with each request of a connection")
    func perRequest() {
        let request = Self.rows.map { $0.request($0.limit) }.joined()
        let parsed = parseRequests(latin1(request), limits: .small)
        #expect(parsed.messages.count == Self.rows.count)
        #expect(parsed.error == nil)
    }

    @Test("looks at every byte once, however they are split")
    func linear() throws {
        // Quadratic work would take minutes here.
        var limits = HTTPLimits()
        limits.headerBytes = 1_000_000
        var parser = HTTPRequestParser(limits: limits)
        var input = ByteBuffer("GET / HTTP/1.1\r\nHost: a\r\nX: ")
        for _ in 0..<200_000 {
            input.append(UInt8(ascii: "x"))
            #expect(try parser.next(&input) == nil)
        }
    }
}
