import FynloCore
import Testing

/// The bytes of a text, one for each character up to U+00FF: `"\u{80}"` is the byte 0x80.
func latin1(_ text: String) -> [UInt8] {
    text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
}

/// A piece of input repeated.
func repeated(_ text: String, _ count: Int) -> String {
    String(repeating: text, count: count)
}

/// What a parser made of its input: messages, and perhaps the error that ended it.
struct Parsed<Message: Equatable>: Equatable {
    var messages: [Message] = []
    var error: HTTPError?
}

/// Hands `input` to `next` in pieces that end at `cuts`, as the shell does: what is left over stays in the buffer.
func parse<Message: Equatable>(
    _ input: [UInt8], cuts: [Int] = [], next: (inout ByteBuffer) throws(HTTPError) -> Message?
) -> Parsed<Message> {
    var parsed = Parsed<Message>()
    var buffer = ByteBuffer()
    var start = 0
    for end in cuts + [input.count] {
        buffer.append(Array(input[start..<end]))
        start = end
        do {
            while let message = try next(&buffer) { parsed.messages.append(message) }
        } catch {
            parsed.error = error
            return parsed
        }
    }
    return parsed
}

func parseRequests(
    _ input: [UInt8], cuts: [Int] = [], limits: HTTPLimits = HTTPLimits()
) -> Parsed<HTTPRequest> {
    var parser = HTTPRequestParser(limits: limits)
    return parse(input, cuts: cuts) { (buffer) throws(HTTPError) in try parser.next(&buffer) }
}

func parseResponses(
    _ input: [UInt8], cuts: [Int] = [], method: HTTPMethod = .get, limits: HTTPLimits = HTTPLimits()
) -> Parsed<HTTPResponse> {
    var parser = HTTPResponseParser(limits: limits)
    return parse(input, cuts: cuts) { (buffer) throws(HTTPError) in try parser.next(&buffer, requestMethod: method) }
}

/// Runs one row of a parser's table whole, byte by byte, and cut in two at each position: always the same outcome.
func checkEverySplit<Message>(
    _ input: [UInt8], expected: Parsed<Message>, parse: (_ input: [UInt8], _ cuts: [Int]) -> Parsed<Message>,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(parse(input, []) == expected, "whole", sourceLocation: sourceLocation)
    #expect(parse(input, Array(0..<input.count)) == expected, "byte by byte", sourceLocation: sourceLocation)
    guard input.count <= 400 else { return }
    for cut in 0..<input.count {
        let parsed = parse(input, [cut])
        guard parsed == expected else {
            #expect(parsed == expected, "cut at \(cut)", sourceLocation: sourceLocation)
            return
        }
    }
}

extension HTTPLimits {
    /// Small limits, so that tests of them are short.
    static var small: HTTPLimits {
        var limits = HTTPLimits()
        limits.requestLineBytes = 32
        limits.headerBytes = 64
        limits.headerFields = 4
        limits.bodyBytes = 16
        limits.chunkExtensionBytes = 8
        limits.trailerBytes = 24
        return limits
    }
}

extension Moment {
    /// A time after an arbitrary start of the test, on both clocks.
    static func after(_ duration: Duration) -> Moment {
        Moment(
            instant: Instant(nanoseconds: 7_000_000_000) + duration,
            unixTime: UnixTime(milliseconds: 784_111_777_000 + duration.inMilliseconds))
    }
}
