// The HTTP parsers. Input: a byte of flags, the size of the pieces, and what the peer sends.

import FynloCore

/// What came of the peer's bytes.
private struct Outcome<Message: Equatable>: Equatable {
    var messages: [Message] = []
    var error: HTTPError?
    /// What the end of the input makes of the rest.
    var last: Message?
}

func fuzzHTTP(_ input: [UInt8]) throws(FuzzFailure) {
    var input = FuzzInput(input)
    let flags = input.byte()
    let pieceBytes = input.byte()
    let limits = flags & 2 == 0 ? HTTPLimits() : .tight
    let bytes = input.rest()
    if flags & 1 == 0 {
        let outcome = try sameOutcome(of: bytes, pieceBytes, limits) { () -> HTTPRequestParser in
            HTTPRequestParser(limits: limits)
        } next: { (parser, buffer) throws(HTTPError) in
            try parser.next(&buffer)
        }
        for request in outcome.messages { try check(request, limits) }
    } else {
        let method: HTTPMethod = flags & 4 == 0 ? .get : .head
        let outcome = try sameOutcome(of: bytes, pieceBytes, limits) { () -> HTTPResponseParser in
            HTTPResponseParser(limits: limits)
        } next: { (parser, buffer) throws(HTTPError) in
            try parser.next(&buffer, requestMethod: method)
        } atEnd: { (parser) throws(HTTPError) in
            try parser.endOfInput()
        }
        for response in outcome.messages { try check(response, to: method, limits) }
    }
}

/// The outcome, which must not depend on the pieces in which the bytes arrive.
private func sameOutcome<Parser, Message: Equatable>(
    of bytes: [UInt8], _ pieceBytes: UInt8, _ limits: HTTPLimits, parser make: () -> Parser,
    next: (inout Parser, inout ByteBuffer) throws(HTTPError) -> Message?,
    atEnd: (inout Parser) throws(HTTPError) -> Message? = { (_) throws(HTTPError) in nil }
) throws(FuzzFailure) -> Outcome<Message> {
    // A line with its line break, of the longest kind.
    let leftoverBytes = 2 + max(limits.requestLineBytes, limits.headerBytes, limits.chunkExtensionBytes + 16)
    var first: Outcome<Message>?
    for pieces in arrivals(of: bytes, pieceBytes: pieceBytes) {
        var outcome = Outcome<Message>()
        var parser = make()
        var buffer = ByteBuffer()
        do throws(HTTPError) {
            for piece in pieces {
                buffer.append(Array(piece))
                while let message = try next(&parser, &buffer) { outcome.messages.append(message) }
                if buffer.count > leftoverBytes { break }
            }
            outcome.last = try atEnd(&parser)
        } catch {
            outcome.error = error
            try require(!error.detail.isEmpty && (400...599).contains(error.status), "errors are answers: \(error)")
        }
        try require(buffer.count <= leftoverBytes || outcome.error != nil, "what is left over is part of a line")
        if let first { try require(first == outcome, "the pieces do not matter: \(first) or \(outcome)") }
        first = outcome
    }
    return first ?? Outcome()
}

private func check(_ request: HTTPRequest, _ limits: HTTPLimits) throws(FuzzFailure) {
    try require(request.body.count <= limits.bodyBytes, "a body within its limit")
    try require(request.headers.count <= limits.headerFields, "fields within their limit")
    try require(request.rawTarget.utf8.count <= limits.requestLineBytes, "a target within its limit")
    try check(request.headers)
    let path = request.path
    try require(path.utf8.first == UInt8(ascii: "/") || path == "*", "a path begins with a slash: \(path)")
    try require(
        path.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "\\") },
        "a path holds neither backslashes nor control characters: \(path)")
    try require(
        !path.split(separator: "/").contains { $0 == "." || $0 == ".." }, "a path holds no dot segments: \(path)")
    try require(request.version == .http10 || request.headers.count("host") == 1, "HTTP/1.1 has one host")
    if let items = try? request.queryItems() {
        try require(items.allSatisfy { !$0.name.utf8.contains(0) && !$0.value.utf8.contains(0) }, "no NUL in a query")
    }
    if let parameters = try? QueryParameters(request) {
        _ = try? parameters.restaurant()
        _ = try? parameters.integer("page", in: 1...100, default: 1)
        _ = try? parameters.boolean("include_inactive", default: false)
    }
    if let proxy = IPAddress("10.0.0.1"), let network = IPNetwork("10.0.0.0/8") {
        let client = TrustedProxies([network]).client(of: request.headers, from: proxy)
        try require(client == nil || TrustedProxies.isForwarded(request.headers), "a client has to be named")
        try require(TrustedProxies().client(of: request.headers, from: proxy) == proxy, "who is not trusted is itself")
    }
    _ = try? everyRoute.route(request.method, path)
    try checkThatWritingAndReading(request)
}

private let everyRoute = Router(hasEcho: true)

/// What we would write of a request is read as the same request.
private func checkThatWritingAndReading(_ request: HTTPRequest) throws(FuzzFailure) {
    let isOriginForm = request.rawTarget.utf8.first == UInt8(ascii: "/") || request.rawTarget == "*"
    guard isOriginForm, request.headers.count("host") == 1 else { return }
    var limits = HTTPLimits()
    limits.headerBytes *= 2
    limits.headerFields += 1
    var written = ByteBuffer()
    HTTPEncoder.encodeRequest(
        method: request.method, target: request.rawTarget, headers: request.headers, body: request.body,
        into: &written)
    var parser = HTTPRequestParser(limits: limits)
    do {
        let read = try parser.next(&written)
        try require(
            read?.method == request.method && read?.path == request.path && read?.query == request.query
                && read?.body == request.body && written.isEmpty, "writing and reading change nothing")
    } catch let error as HTTPError where error == .unsupportedExpectation && request.version == .http10 {
        // It is ignored in HTTP/1.0, and we write HTTP/1.1.
    } catch {
        throw FuzzFailure(description: "what we write of \(request) is refused: \(error)")
    }
}

private func check(
    _ response: HTTPResponse, to method: HTTPMethod, _ limits: HTTPLimits
) throws(FuzzFailure) {
    try require((101...999).contains(response.status), "three digits, and no interim response")
    try require(response.body.count <= limits.bodyBytes, "a body within its limit")
    try require(response.headers.count <= limits.headerFields, "fields within their limit")
    try check(response.headers)
    let exchange = HTTPEncoder.Exchange(isHead: method == .head, version: .http11, isKeepAlive: true)
    var written = ByteBuffer()
    HTTPEncoder.encode(response, for: exchange, date: UnixTime(milliseconds: 0), into: &written)
    var wider = HTTPLimits()
    wider.headerBytes *= 2
    wider.headerFields += 3
    var parser = HTTPResponseParser(limits: wider)
    do {
        let read = try parser.next(&written, requestMethod: method)
        try require(
            read?.status == response.status && read?.body == response.body && written.isEmpty,
            "writing and reading change nothing")
    } catch {
        throw FuzzFailure(description: "what we write of \(response) is refused: \(error)")
    }
}

/// No field can end its own line.
private func check(_ headers: HTTPHeaders) throws(FuzzFailure) {
    for position in 0..<headers.count {
        let (name, value) = headers[position]
        try require(
            !name.isEmpty && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") },
            "a name is a token: \(name)")
        try require(
            value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }, "no control character in \(name)")
        try require(name == name.lowercased(), "names are lower-cased: \(name)")
    }
}

extension HTTPLimits {
    /// Limits that a short input reaches.
    static var tight: HTTPLimits {
        var limits = HTTPLimits()
        limits.requestLineBytes = 64
        limits.headerBytes = 128
        limits.headerFields = 6
        limits.bodyBytes = 24
        limits.chunkExtensionBytes = 8
        limits.trailerBytes = 32
        return limits
    }
}
