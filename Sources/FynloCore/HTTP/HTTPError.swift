// Everything that can be wrong with an HTTP message, with the status that answers it and one sentence for a person.

/// Why a message was refused. Nothing more can be read from the connection: where the next message begins is unknown.
public enum HTTPError: Error, Equatable, Sendable {
    // The start line
    case plainTextExpected
    case malformedRequestLine
    case malformedStatusLine
    case tooManyEmptyLines
    case unsupportedVersion
    case requestLineTooLong(limitBytes: Int)
    case connectRefused
    case invalidTarget
    case invalidPath
    case invalidPercentEncoding
    case invalidQuery

    // Lines and fields
    case bareLineBreak
    case controlCharacter
    case leadingWhitespace
    case invalidFieldName
    case headerTooLarge(limitBytes: Int)
    case tooManyFields(limit: Int)
    case hostMissing
    case hostRepeated
    case invalidHost
    case unsupportedExpectation

    // The length of the body
    case contentLengthRepeated
    case invalidContentLength
    case contentLengthWithTransferEncoding
    case invalidTransferEncoding
    case unsupportedTransferCoding
    case transferEncodingInHTTP10
    case bodyTooLarge(limitBytes: Int)
    case invalidChunkSize
    case chunkNotTerminated
    case chunkExtensionsTooLarge(limitBytes: Int)
    case trailersTooLarge(limitBytes: Int)

    // Time
    case headTimedOut(after: Duration)
    case bodyTimedOut(after: Duration)
    case endedEarly

    /// The status code that answers the message.
    public var status: Int {
        switch self {
        case .plainTextExpected, .malformedRequestLine, .malformedStatusLine, .tooManyEmptyLines, .invalidTarget,
            .invalidPath, .invalidPercentEncoding, .invalidQuery, .bareLineBreak, .controlCharacter,
            .leadingWhitespace, .invalidFieldName, .hostMissing, .hostRepeated, .invalidHost,
            .contentLengthRepeated, .invalidContentLength, .contentLengthWithTransferEncoding,
            .invalidTransferEncoding, .transferEncodingInHTTP10, .invalidChunkSize, .chunkNotTerminated,
            .chunkExtensionsTooLarge, .endedEarly:
            400
        case .headTimedOut, .bodyTimedOut: 408
        case .bodyTooLarge: 413
        case .requestLineTooLong: 414
        case .unsupportedExpectation: 417
        case .headerTooLarge, .tooManyFields, .trailersTooLarge: 431
        case .connectRefused, .unsupportedTransferCoding: 501
        case .unsupportedVersion: 505
        }
    }

    /// One sentence: what was wrong, and what is accepted. It repeats nothing that the client sent.
    public var detail: String {
        switch self {
        case .plainTextExpected:
            "This port speaks plain HTTP but was greeted with TLS: use http:// here, or the port that serves https://."
        case .malformedRequestLine:
            "Send the request line as METHOD SP TARGET SP HTTP/1.1, with exactly one space between its three parts."
        case .malformedStatusLine:
            "The server's status line is not of the form HTTP/1.1 SP STATUS SP REASON."
        case .tooManyEmptyLines:
            "Begin with the request line: too many empty lines came before it."
        case .unsupportedVersion:
            "Speak HTTP/1.1 or HTTP/1.0: no other version is served here."
        case .requestLineTooLong(let limitBytes):
            "Shorten the request target: a request line may have at most \(limitBytes) bytes."
        case .connectRefused:
            "CONNECT is not served: this is not a proxy."
        case .invalidTarget:
            "Send the request target as /path?query or http://host/path?query, all other characters percent-encoded."
        case .invalidPath:
            "Send a path without dot segments, backslashes, and encoded slashes or control characters, in UTF-8."
        case .invalidPercentEncoding:
            "Follow each % in the request target with two hexadecimal digits."
        case .invalidQuery:
            "Encode the query's names and values in UTF-8 without the NUL character."
        case .bareLineBreak:
            "End each line with CR LF: neither is accepted by itself."
        case .controlCharacter:
            "Leave control characters out of the head of a message."
        case .leadingWhitespace:
            "Begin each header line with the field's name: lines that begin with white space are not accepted."
        case .invalidFieldName:
            "Send each header line as Name: value, with a token as the name and no space before the colon."
        case .headerTooLarge(let limitBytes):
            "Send smaller headers: together they may have at most \(limitBytes) bytes."
        case .tooManyFields(let limit):
            "Send fewer headers: a message may have at most \(limit) fields."
        case .hostMissing:
            "Send a Host header: HTTP/1.1 requires one."
        case .hostRepeated:
            "Send exactly one Host header."
        case .invalidHost:
            "Send the host as a name or address with an optional port, such as example.com:8000."
        case .unsupportedExpectation:
            "Expect nothing but 100-continue."
        case .contentLengthRepeated:
            "Send Content-Length exactly once."
        case .invalidContentLength:
            "Send Content-Length as one decimal number, digits only."
        case .contentLengthWithTransferEncoding:
            "Send either Content-Length or Transfer-Encoding, not both."
        case .invalidTransferEncoding:
            "Send Transfer-Encoding exactly once, as the single word chunked."
        case .unsupportedTransferCoding:
            "Use no transfer coding but chunked."
        case .transferEncodingInHTTP10:
            "Send Content-Length: HTTP/1.0 has no Transfer-Encoding."
        case .bodyTooLarge(let limitBytes):
            "Send a smaller body: at most \(limitBytes) bytes are accepted."
        case .invalidChunkSize:
            "Send each chunk size as one to sixteen hexadecimal digits, followed by nothing but chunk extensions."
        case .chunkNotTerminated:
            "End each chunk with CR LF after exactly as many bytes as its size says."
        case .chunkExtensionsTooLarge(let limitBytes):
            "Send shorter chunk extensions: a body may have at most \(limitBytes) bytes of them."
        case .trailersTooLarge(let limitBytes):
            "Send smaller trailers: together they may have at most \(limitBytes) bytes."
        case .headTimedOut(let duration):
            "Send the request line and headers faster: they must arrive within \(duration.inSeconds) seconds."
        case .bodyTimedOut(let duration):
            "Send the body faster: it came too slowly, or paused for \(duration.inSeconds) seconds."
        case .endedEarly:
            "The connection ended in the middle of a message."
        }
    }
}

extension Duration {
    /// Seconds, with a decimal point only if they are not whole: `10`, `0.25`.
    fileprivate var inSeconds: String {
        let milliseconds = inMilliseconds
        return milliseconds % 1_000 == 0 ? "\(milliseconds / 1_000)" : "\(Double(milliseconds) / 1_000)"
    }
}
