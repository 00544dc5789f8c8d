// Reads a body and decides where it ends. Requests are smuggled where servers and proxies disagree about that, so anything
// ambiguous is an error, never a guess.

/// RFC 9112 §6.3: how a message says where its body ends.
enum HTTPBodyLength: Equatable, Sendable {
    /// The message names neither Content-Length nor Transfer-Encoding.
    case unstated
    /// Content-Length, at most the limit.
    case counted(Int)
    case chunked

    /// What the fields of a message say.
    init(_ headers: HTTPHeaders, version: HTTPVersion, limitBytes: Int) throws(HTTPError) {
        var contentLengths = 0
        var transferEncodings = 0
        var length = 0
        for position in 0..<headers.count {
            try headers.withField(at: position) { (name, value) throws(HTTPError) in
                if name.equals("content-length") {
                    contentLengths += 1
                    length = try Self.contentLength(value)
                } else if name.equals("transfer-encoding") {
                    transferEncodings += 1
                    try Self.checkTransferEncoding(value)
                }
            }
        }
        guard contentLengths == 0 || transferEncodings == 0 else { throw .contentLengthWithTransferEncoding }
        guard contentLengths <= 1 else { throw .contentLengthRepeated }
        guard transferEncodings <= 1 else { throw .invalidTransferEncoding }
        guard transferEncodings == 0 || version == .http11 else { throw .transferEncodingInHTTP10 }
        guard length <= limitBytes else { throw .bodyTooLarge(limitBytes: limitBytes) }
        self = transferEncodings == 1 ? .chunked : contentLengths == 1 ? .counted(length) : .unstated
    }

    /// The value of the digits; `Int.max` for anything greater.
    private static func contentLength(_ value: Span<UInt8>) throws(HTTPError) -> Int {
        guard value.count > 0 else { throw .invalidContentLength }
        var length = 0
        for index in value.indices {
            guard value[index].isDigit else { throw .invalidContentLength }
            let (product, overflow) = length.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int(value[index] - UInt8(ascii: "0")))
            length = overflow || carry ? .max : sum
        }
        return length
    }

    /// RFC 9112 §6.1: `chunked` is the only coding supported, and may appear once, last. An unknown coding is 501. A value that
    /// some programs would read as `chunked` and others would not is 400.
    private static func checkTransferEncoding(_ value: Span<UInt8>) throws(HTTPError) {
        if value.equalsIgnoringCase("chunked") { return }
        var codings = 0
        var isLastChunked = false
        var start = 0
        while start <= value.count {
            let end = value.firstIndex(of: UInt8(ascii: ","), from: start) ?? value.count
            let coding = value.extracting(value.trimming(start..<end))
            guard !coding.isEmpty, coding.consists(of: .token), !isLastChunked else { throw .invalidTransferEncoding }
            isLastChunked = coding.equalsIgnoringCase("chunked")
            codings += 1
            start = end + 1
        }
        throw codings > 1 && !isLastChunked ? .invalidTransferEncoding : .unsupportedTransferCoding
    }
}

/// Reads one body and removes its framing.
struct HTTPBodyReader: Sendable {
    /// What comes next.
    private enum State: Sendable {
        case complete
        case counted(remaining: Int)
        case chunkSize
        case chunkData(remaining: Int)
        case chunkEnd
        case trailers
        case untilClose
    }

    private var state = State.complete
    private var body: [UInt8] = []
    private var lines = HTTPLineScanner()
    private var extensionBytes = 0
    private var trailerBytes = 0
    private var trailerFields = 0

    /// A reader that is complete: no body.
    init() {}

    init(length: Int) {
        state = length > 0 ? .counted(remaining: length) : .complete
    }

    static var chunked: HTTPBodyReader {
        var reader = HTTPBodyReader()
        reader.state = .chunkSize
        return reader
    }

    /// A response without a length ends with the connection (RFC 9112 §6.3, item 8).
    static var untilClose: HTTPBodyReader {
        var reader = HTTPBodyReader()
        reader.state = .untilClose
        return reader
    }

    var isComplete: Bool {
        if case .complete = state { true } else { false }
    }

    var endsWithConnection: Bool {
        if case .untilClose = state { true } else { false }
    }

    /// Takes the bytes read so far.
    mutating func takeBody() -> [UInt8] {
        let taken = body
        body = []
        return taken
    }

    /// Reads from `cursor` on and advances it; true once the body is complete.
    mutating func read(
        _ bytes: Span<UInt8>, at cursor: inout Int, limits: HTTPLimits
    ) throws(HTTPError) -> Bool {
        while true {
            switch state {
            case .complete:
                return true
            case .counted(let remaining):
                let taken = take(upTo: remaining, of: bytes, at: &cursor)
                guard taken == remaining else {
                    state = .counted(remaining: remaining - taken)
                    return false
                }
                state = .complete
            case .chunkSize:
                guard let size = try readChunkSize(bytes, at: &cursor, limits: limits) else { return false }
                state = size == 0 ? .trailers : .chunkData(remaining: size)
            case .chunkData(let remaining):
                let taken = take(upTo: remaining, of: bytes, at: &cursor)
                guard taken == remaining else {
                    state = .chunkData(remaining: remaining - taken)
                    return false
                }
                state = .chunkEnd
            case .chunkEnd:
                guard cursor < bytes.count else { return false }
                guard bytes[cursor] == .carriageReturn else { throw .chunkNotTerminated }
                guard cursor + 1 < bytes.count else { return false }
                guard bytes[cursor + 1] == .lineFeed else { throw .chunkNotTerminated }
                cursor += 2
                state = .chunkSize
            case .trailers:
                guard try readTrailers(bytes, at: &cursor, limits: limits) else { return false }
                state = .complete
            case .untilClose:
                let room = limits.bodyBytes - body.count
                _ = take(upTo: room, of: bytes, at: &cursor)
                guard cursor == bytes.count else { throw .bodyTooLarge(limitBytes: limits.bodyBytes) }
                return false
            }
        }
    }

    /// Moves at most `count` bytes into the body; returns how many.
    private mutating func take(upTo count: Int, of bytes: Span<UInt8>, at cursor: inout Int) -> Int {
        let taken = min(count, bytes.count - cursor)
        guard taken > 0 else { return 0 }
        // A body that has arrived whole gets exactly its size. One that is only announced gets no memory in advance.
        if body.isEmpty { body.reserveCapacity(taken == count ? count : min(count, max(taken, 4_096))) }
        body.append(copying: bytes.extracting(cursor..<cursor + taken))
        cursor += taken
        return taken
    }

    /// RFC 9112 §7.1: `chunk-size [chunk-ext] CR LF`. Extensions are counted and ignored; `nil` until the line is there.
    private mutating func readChunkSize(
        _ bytes: Span<UInt8>, at cursor: inout Int, limits: HTTPLimits
    ) throws(HTTPError) -> Int? {
        let tooLong = HTTPError.chunkExtensionsTooLarge(limitBytes: limits.chunkExtensionBytes)
        let longestSize = 16
        let lineLimit = longestSize + limits.chunkExtensionBytes - extensionBytes
        let lineEnd = try lines.lineEnd(in: bytes, from: cursor, limit: lineLimit, tooLong: tooLong)
        guard let end = lineEnd else { return nil }
        var index = cursor
        var size: UInt64 = 0
        while index < end, let digit = bytes[index].hexadecimalValue {
            guard index - cursor < longestSize else { throw .invalidChunkSize }
            size = size << 4 | UInt64(digit)
            index += 1
        }
        guard index > cursor else { throw .invalidChunkSize }
        if index < end {
            extensionBytes += end - index
            guard extensionBytes <= limits.chunkExtensionBytes else { throw tooLong }
            // White space may stand before the semicolon (BWS), but not in its place.
            while index < end, bytes[index] == .space || bytes[index] == .tab { index += 1 }
            guard index < end, bytes[index] == UInt8(ascii: ";") else { throw .invalidChunkSize }
        }
        guard size <= UInt64(limits.bodyBytes - body.count) else { throw .bodyTooLarge(limitBytes: limits.bodyBytes) }
        cursor = end + 2
        return Int(size)
    }

    /// RFC 9112 §7.1.2: trailer fields are checked like header fields and dropped, so that none can pass for one.
    private mutating func readTrailers(
        _ bytes: Span<UInt8>, at cursor: inout Int, limits: HTTPLimits
    ) throws(HTTPError) -> Bool {
        while cursor < bytes.count {
            if trailerFields >= limits.headerFields, bytes[cursor] != .carriageReturn {
                throw .tooManyFields(limit: limits.headerFields)
            }
            let limit = max(limits.trailerBytes - trailerBytes - 2, 0)
            let end = try lines.lineEnd(
                in: bytes, from: cursor, limit: limit, tooLong: .trailersTooLarge(limitBytes: limits.trailerBytes))
            guard let end else { return false }
            let line = bytes.extracting(cursor..<end)
            cursor = end + 2
            if line.isEmpty { return true }
            _ = try HTTPHeaders.colon(in: line)
            trailerBytes += line.count + 2
            trailerFields += 1
        }
        return false
    }
}
