import FynloCore
import Testing

@Suite("HTTPRequestParser refuses")
struct HTTPRefusalTests {
    /// One row: what it shows, the bytes, and why they are refused.
    struct Row: Sendable, CustomTestStringConvertible {
        let name: String
        let input: String
        let error: HTTPError
        var testDescription: String { name }

        init(_ name: String, _ input: String, _ error: HTTPError) {
            self.name = name
            self.input = input
            self.error = error
        }
    }

    static let startLines: [Row] = [
        Row("a TLS greeting", "\u{16}\u{3}\u{1}\u{2}\0", .plainTextExpected),
        Row("too many empty lines", "\r\n\r\n\r\nGET / HTTP/1.1\r\n", .tooManyEmptyLines),
        Row("a bare LF at the beginning", "\nGET / HTTP/1.1\r\n", .bareLineBreak),
        Row("white space at the beginning", " GET / HTTP/1.1\r\n", .malformedRequestLine),
        Row("a method that is no token", "G@T / HTTP/1.1\r\n", .malformedRequestLine),
        Row("a missing target", "GET HTTP/1.1\r\n", .malformedRequestLine),
        Row("HTTP/0.9", "GET /\r\n", .malformedRequestLine),
        Row("two spaces before the target", "GET  / HTTP/1.1\r\n", .malformedRequestLine),
        Row("two spaces before the version", "GET /  HTTP/1.1\r\n", .malformedRequestLine),
        Row("a space after the version", "GET / HTTP/1.1 \r\n", .malformedRequestLine),
        Row("a space in the target", "GET /a b HTTP/1.1\r\n", .malformedRequestLine),
        Row("tabs for spaces", "GET\t/\tHTTP/1.1\r\n", .malformedRequestLine),
        Row("a version in small letters", "GET / http/1.1\r\n", .malformedRequestLine),
        Row("a version of two digits", "GET / HTTP/1.10\r\n", .malformedRequestLine),
        Row("a version without a point", "GET / HTTP/1\r\n", .malformedRequestLine),
        Row("another protocol", "GET / ICAP/1.0\r\n", .malformedRequestLine),
        Row("version 0.9", "GET / HTTP/0.9\r\n", .unsupportedVersion),
        Row("version 2.0", "GET / HTTP/2.0\r\n", .unsupportedVersion),
        Row("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .unsupportedVersion),
        Row("CONNECT", "CONNECT a:80 HTTP/1.1\r\n", .connectRefused),
        Row("authority-form", "GET a:80 HTTP/1.1\r\n", .invalidTarget),
        Row("an asterisk without OPTIONS", "GET * HTTP/1.1\r\n", .invalidTarget),
        Row("a target without a slash", "GET x HTTP/1.1\r\n", .invalidTarget),
        Row("another scheme", "GET ftp://a/ HTTP/1.1\r\n", .invalidTarget),
        Row("a scheme alone", "GET http:// HTTP/1.1\r\n", .invalidTarget),
        Row("an absolute target without a host", "GET http:///p HTTP/1.1\r\n", .invalidHost),
        Row("user information", "GET http://u:p@a/ HTTP/1.1\r\n", .invalidHost),
        Row("a fragment in the path", "GET /#f HTTP/1.1\r\n", .invalidTarget),
        Row("a fragment in the query", "GET /?q#f HTTP/1.1\r\n", .invalidTarget),
        Row("a byte above 127 in the path", "GET /\u{e9} HTTP/1.1\r\n", .invalidTarget),
        Row("a byte above 127 in the query", "GET /?\u{e9} HTTP/1.1\r\n", .invalidTarget),
        Row("UTF-8 in the path", "GET /\u{c3}\u{a9} HTTP/1.1\r\n", .invalidTarget),
        Row("a tab in the target", "GET /\t HTTP/1.1\r\n", .invalidTarget),
        Row("NUL in the target", "GET /\0 HTTP/1.1\r\n", .controlCharacter),
        Row("DEL in the target", "GET /\u{7f} HTTP/1.1\r\n", .controlCharacter),
        Row("a bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", .bareLineBreak),
        Row("a bare CR in the request line", "GET /\r HTTP/1.1\r\n", .bareLineBreak),
        Row("two CRs", "GET / HTTP/1.1\r\r\n", .bareLineBreak),
    ]

    static let paths: [Row] = [
        ("/.", .invalidPath), ("/..", .invalidPath), ("/a/../b", .invalidPath), ("/a/./b", .invalidPath),
        ("/%2e%2E/b", .invalidPath), ("/.%2e", .invalidPath), ("/a%2fb", .invalidPath), ("/a%2Fb", .invalidPath),
        ("/a%5cb", .invalidPath), ("/a\\b", .invalidTarget), ("/a%00b", .invalidPath), ("/a%0d%0ab", .invalidPath),
        ("/a%7fb", .invalidPath), ("/%ff", .invalidPath), ("/%c0%ae%c0%ae", .invalidPath), ("/%ed%a0%80", .invalidPath),
        ("/%", .invalidPercentEncoding), ("/%2", .invalidPercentEncoding), ("/%2g", .invalidPercentEncoding),
        ("/%+1", .invalidPercentEncoding), ("/a%", .invalidPercentEncoding), ("/\"", .invalidTarget),
        ("/<", .invalidTarget), ("/{", .invalidTarget), ("http://a/..", .invalidPath), ("http://a%zz/", .invalidHost),
    ].map { (target: String, error: HTTPError) in
        Row("the path \(target)", "GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n", error)
    }

    static let fields: [Row] = [
        ("white space between request line and fields", " X: 1\r\nHost: a\r\n", .leadingWhitespace),
        ("a tab there", "\tX: 1\r\n", .leadingWhitespace),
        ("a line of white space", "Host: a\r\n \r\n", .leadingWhitespace),
        ("a folded line", "Host: a\r\nX: 1\r\n 2\r\n", .leadingWhitespace),
        ("a folded Transfer-Encoding", "Host: a\r\nTransfer-Encoding:\r\n chunked\r\n", .leadingWhitespace),
        ("a line without a colon", "Host: a\r\nX\r\n", .invalidFieldName),
        ("an empty name", "Host: a\r\n: v\r\n", .invalidFieldName),
        ("a space before the colon", "Host: a\r\nContent-Length : 5\r\n", .invalidFieldName),
        ("a tab before the colon", "Host: a\r\nTransfer-Encoding\t: chunked\r\n", .invalidFieldName),
        ("a space within a name", "Host: a\r\nX Y: 1\r\n", .invalidFieldName),
        ("a name that is no token", "Host: a\r\nX(Y): 1\r\n", .invalidFieldName),
        ("a byte above 127 in a name", "Host: a\r\nX\u{e9}: 1\r\n", .invalidFieldName),
        ("NUL in a value", "Host: a\r\nX: a\0b\r\n", .controlCharacter),
        ("NUL in a name", "Host: a\r\nX\0: 1\r\n", .controlCharacter),
        ("a vertical tab in a value", "Host: a\r\nTransfer-Encoding: \u{b}chunked\r\n", .controlCharacter),
        ("DEL in a value", "Host: a\r\nX: \u{7f}\r\n", .controlCharacter),
        ("ESC in a value", "Host: a\r\nX: \u{1b}[0m\r\n", .controlCharacter),
        ("a bare CR in a value", "Host: a\r\nX: a\rb\r\n", .bareLineBreak),
        ("a bare CR before the line break", "Host: a\r\nX: a\r\r\n", .bareLineBreak),
        ("a bare LF between fields", "Host: a\nX: 1\r\n", .bareLineBreak),
        ("a bare LF as the empty line", "Host: a\r\n\n", .bareLineBreak),
        ("a bare CR as the empty line", "Host: a\r\n\rX", .bareLineBreak),
        ("no Host", "X: 1\r\n", .hostMissing),
        ("two Hosts", "Host: a\r\nHost: b\r\n", .hostRepeated),
        ("the same Host twice", "Host: a\r\nhost: a\r\n", .hostRepeated),
        ("an empty Host", "Host:\r\n", .invalidHost),
        ("a Host with a path", "Host: a/b\r\n", .invalidHost),
        ("a Host with user information", "Host: u@a\r\n", .invalidHost),
        ("two Hosts in one", "Host: a, b\r\n", .invalidHost),
        ("a Host of a port only", "Host: :80\r\n", .invalidHost),
        ("a port that is no number", "Host: a:8x\r\n", .invalidHost),
        ("a port too great", "Host: a:65536\r\n", .invalidHost),
        ("a port of very many digits", "Host: a:99999999999999999999999\r\n", .invalidHost),
        ("two ports", "Host: a:1:2\r\n", .invalidHost),
        ("an open bracket", "Host: [::1\r\n", .invalidHost),
        ("empty brackets", "Host: []\r\n", .invalidHost),
        ("letters in brackets", "Host: [::g]\r\n", .invalidHost),
        ("a host after brackets", "Host: [::1]a\r\n", .invalidHost),
        ("a half escape in a Host", "Host: a%4\r\n", .invalidHost),
        ("a byte above 127 in a Host", "Host: \u{e9}\r\n", .invalidHost),
        ("another expectation", "Host: a\r\nExpect: 200-ok\r\n", .unsupportedExpectation),
        ("two expectations", "Host: a\r\nExpect: 100-continue\r\nExpect: x\r\n", .unsupportedExpectation),
        ("an empty expectation", "Host: a\r\nExpect:\r\n", .unsupportedExpectation),
    ].map { (name: String, fields: String, error: HTTPError) in
        Row(name, "GET / HTTP/1.1\r\n\(fields)\r\n", error)
    }

    static let lengths: [Row] = [
        ("both lengths", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", .contentLengthWithTransferEncoding),
        ("both, reversed", "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", .contentLengthWithTransferEncoding),
        ("differing lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", .contentLengthRepeated),
        ("the same length twice", "Content-Length: 5\r\nContent-Length: 5\r\n", .contentLengthRepeated),
        ("a list of lengths", "Content-Length: 5, 5\r\n", .invalidContentLength),
        ("a length with a plus", "Content-Length: +5\r\n", .invalidContentLength),
        ("a negative length", "Content-Length: -5\r\n", .invalidContentLength),
        ("a length with a space inside", "Content-Length: 1 0\r\n", .invalidContentLength),
        ("a hexadecimal length", "Content-Length: 0x10\r\n", .invalidContentLength),
        ("a fraction", "Content-Length: 5.0\r\n", .invalidContentLength),
        ("an empty length", "Content-Length:\r\n", .invalidContentLength),
        ("a quoted length", "Content-Length: \"5\"\r\n", .invalidContentLength),
        ("digits that are not ASCII", "Content-Length: \u{b2}\r\n", .invalidContentLength),
        ("a length beyond 64 bits", "Content-Length: 18446744073709551621\r\n", .bodyTooLarge(limitBytes: 1_048_576)),
        ("a length beyond 64 bits, then no digit", "Content-Length: 99999999999999999999x\r\n", .invalidContentLength),
        ("the last length of 63 bits", "Content-Length: 9223372036854775807\r\n", .bodyTooLarge(limitBytes: 1_048_576)),
        ("an unknown coding", "Transfer-Encoding: gzip\r\n", .unsupportedTransferCoding),
        ("an unknown coding under chunked", "Transfer-Encoding: gzip, chunked\r\n", .unsupportedTransferCoding),
        ("identity", "Transfer-Encoding: identity\r\n", .unsupportedTransferCoding),
        ("a word that contains chunked", "Transfer-Encoding: xchunked\r\n", .unsupportedTransferCoding),
        ("chunked not last", "Transfer-Encoding: chunked, gzip\r\n", .invalidTransferEncoding),
        ("chunked twice", "Transfer-Encoding: chunked, chunked\r\n", .invalidTransferEncoding),
        ("chunked in two", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", .invalidTransferEncoding),
        ("chunked in a list with nothing", "Transfer-Encoding: ,chunked\r\n", .invalidTransferEncoding),
        ("chunked with a comma", "Transfer-Encoding: chunked,\r\n", .invalidTransferEncoding),
        ("chunked with a parameter", "Transfer-Encoding: chunked;q=1\r\n", .invalidTransferEncoding),
        ("chunked in quotes", "Transfer-Encoding: \"chunked\"\r\n", .invalidTransferEncoding),
        ("chunked with a space inside", "Transfer-Encoding: chun ked\r\n", .invalidTransferEncoding),
        ("chunked after a byte above 127", "Transfer-Encoding: \u{a0}chunked\r\n", .invalidTransferEncoding),
        ("an empty coding", "Transfer-Encoding:\r\n", .invalidTransferEncoding),
    ].map { (name: String, fields: String, error: HTTPError) in
        Row(name, "POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n", error)
    }

    static let chunks: [Row] = [
        ("an empty chunk size", "\r\nx", .invalidChunkSize),
        ("a chunk size that is no number", "x\r\n", .invalidChunkSize),
        ("a chunk size with 0x", "0x5\r\nhello\r\n", .invalidChunkSize),
        ("a negative chunk size", "-5\r\n", .invalidChunkSize),
        ("a chunk size with a plus", "+5\r\n", .invalidChunkSize),
        ("white space before a chunk size", " 5\r\nhello\r\n", .invalidChunkSize),
        ("white space after a chunk size", "5 \r\nhello\r\n", .invalidChunkSize),
        ("something else after a chunk size", "5 x\r\nhello\r\n", .invalidChunkSize),
        ("a chunk size of 17 digits", "00000000000000005\r\nhello\r\n", .invalidChunkSize),
        ("a chunk size that overflows", "ffffffffffffffff\r\n", .bodyTooLarge(limitBytes: 1_048_576)),
        ("a chunk size with the sign bit", "8000000000000000\r\n", .bodyTooLarge(limitBytes: 1_048_576)),
        ("a chunk longer than its size", "5\r\nhellox\r\n", .chunkNotTerminated),
        ("a chunk that ends with LF", "5\r\nhello\n0\r\n\r\n", .chunkNotTerminated),
        ("a chunk that ends with CR", "5\r\nhello\r0\r\n\r\n", .chunkNotTerminated),
        ("a chunk size that ends with LF", "5\nhello\r\n", .bareLineBreak),
        ("a chunk size that ends with CR", "5\rhello\r\n", .bareLineBreak),
        ("a bare LF in a chunk extension", "5;a\nb\r\nhello\r\n", .bareLineBreak),
        ("a control character in a chunk extension", "5;a\0b\r\nhello\r\n", .controlCharacter),
        ("a trailer that is no field", "0\r\nGET / HTTP/1.1\r\n", .invalidFieldName),
        ("a folded trailer", "0\r\nX: 1\r\n 2\r\n\r\n", .leadingWhitespace),
        ("a bare LF after the last chunk", "0\r\n\n", .bareLineBreak),
        ("a bare LF in the trailers", "0\r\nX: 1\n\r\n", .bareLineBreak),
    ].map { (name: String, body: String, error: HTTPError) in
        Row(name, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(body)", error)
    }

    @Test("start lines", arguments: startLines)
    func startLine(row: Row) { check(row) }

    @Test("paths that could be read in two ways", arguments: paths)
    func path(row: Row) { check(row) }

    @Test("fields", arguments: fields)
    func field(row: Row) { check(row) }

    @Test("every way to disagree about the end of a request", arguments: lengths)
    func length(row: Row) { check(row) }

    @Test("chunked bodies", arguments: chunks)
    func chunk(row: Row) { check(row) }

    @Test(
        "Transfer-Encoding in HTTP/1.0, and what HTTP/1.0 shares with HTTP/1.1",
        arguments: [
            ("Transfer-Encoding: chunked\r\n", .transferEncodingInHTTP10),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", .contentLengthWithTransferEncoding),
            ("Host: a\r\nHost: b\r\n", .hostRepeated), ("Host: a b\r\n", .invalidHost),
        ] as [(String, HTTPError)])
    func http10(fields: String, error: HTTPError) {
        check(Row("", "POST / HTTP/1.0\r\n\(fields)\r\n", error))
    }

    private func check(_ row: Row) {
        let expected = Parsed<HTTPRequest>(messages: [], error: row.error)
        checkEverySplit(latin1(row.input), expected: expected) { parseRequests($0, cuts: $1) }
        let attached = latin1(row.input + "GET /next HTTP/1.1\r\nHost: n\r\n\r\n")
        checkEverySplit(attached, expected: expected) { parseRequests($0, cuts: $1) }
        // The same as a pipelined request: the first one stands.
        let first = HTTPRequest(method: .get, path: "/first", headers: ["host": "f"])
        guard row.error != .plainTextExpected else { return }
        checkEverySplit(
            latin1("GET /first HTTP/1.1\r\nHost: f\r\n\r\n" + row.input),
            expected: Parsed(messages: [first], error: row.error)
        ) { parseRequests($0, cuts: $1) }
    }

    @Test(
        "every byte where the grammar has no place for it, and no other",
        arguments: [
            ("method", "G\u{1}T / HTTP/1.1\r\nHost: a\r\n\r\n", "!#$%&'*+-.^_`|~"),
            ("path", "GET /\u{1}41 HTTP/1.1\r\nHost: a\r\n\r\n", "-._~:@/%!$&'()*+,;=?"),
            ("query", "GET /?\u{1}41 HTTP/1.1\r\nHost: a\r\n\r\n", "-._~:@/?%!$&'()*+,;=[]{}|\\^`"),
            ("field name", "GET / HTTP/1.1\r\nHost: a\r\nX\u{1}Y: v\r\n\r\n", "!#$%&'*+-.^_`|~:"),
            ("host", "GET / HTTP/1.1\r\nHost: x\u{1}41\r\n\r\n", "-._~%!$&'()*+,;=:"),
        ])
    func everyByte(place: String, template: String, punctuation: String) {
        let alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        let accepted = Set((punctuation + alphanumeric).utf8)
        for byte in UInt8.min ... .max {
            let input = latin1(template).map { $0 == 1 ? byte : $0 }
            let parsed = parseRequests(input)
            #expect((parsed.error == nil) == accepted.contains(byte), "\(byte) in the \(place)")
        }
    }

    @Test("control characters in a value, but for the tab")
    func everyValueByte() {
        for byte in UInt8.min ... .max {
            let input = latin1("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{1}b\r\n\r\n").map { $0 == 1 ? byte : $0 }
            let isControl = byte < 0x20 && byte != 9 || byte == 0x7f
            #expect((parseRequests(input).error != nil) == isControl, "\(byte)")
        }
    }

    @Test(
        "with a status of its own and one sentence for a person",
        arguments: [
            (.plainTextExpected, 400), (.malformedRequestLine, 400), (.requestLineTooLong(limitBytes: 8_192), 414),
            (.unsupportedVersion, 505), (.connectRefused, 501), (.headerTooLarge(limitBytes: 16_384), 431),
            (.tooManyFields(limit: 100), 431), (.bodyTooLarge(limitBytes: 1_048_576), 413),
            (.unsupportedExpectation, 417), (.unsupportedTransferCoding, 501), (.contentLengthRepeated, 400),
            (.headTimedOut(after: .seconds(10)), 408), (.bodyTimedOut(after: .milliseconds(250)), 408),
            (.trailersTooLarge(limitBytes: 4_096), 431), (.chunkExtensionsTooLarge(limitBytes: 1_024), 400),
        ] as [(HTTPError, Int)])
    func status(error: HTTPError, status: Int) {
        #expect(error.status == status)
        #expect(error.detail.hasSuffix("."))
        #expect(!error.detail.dropLast().contains(". "))
    }

    @Test("naming its limits in seconds and bytes")
    func sentences() {
        #expect(HTTPError.headTimedOut(after: .seconds(10)).detail.contains("within 10 seconds"))
        #expect(HTTPError.bodyTimedOut(after: .milliseconds(250)).detail.contains("0.25 seconds"))
        #expect(HTTPError.bodyTooLarge(limitBytes: 1_048_576).detail.contains("1048576 bytes"))
    }
}
