import FynloCore
import Testing

/// SplitMix64: the same numbers for the same seed everywhere.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

@Suite("HTTP under mutation")
struct HTTPMutationTests {
    private static let requests = [
        "GET /a/b%20c?x=1&y=%41 HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
        "POST /o HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        "POST /o HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: 1\r\n\r\n",
        "OPTIONS http://h/p?q HTTP/1.0\r\nConnection: close\r\n\r\n",
    ]
    private static let responses = [
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\nbody until the end",
    ]
    /// Pieces that matter to a parser of HTTP.
    private static let dictionary = [
        "\r\n", "\r", "\n", " ", "\t", "\0", ":", ",", ";", "%", "%0", "/..", "?", "#", "0", "-", "+",
        "ffffffffffffffff", "18446744073709551616", "chunked", "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n", "Host: b\r\n", "HTTP/1.1", "\u{80}", "\u{ff}", "\r\n\r\n", "[::1]", "http://",
        "Connection: close\r\n", "0\r\n\r\n",
    ]

    private func mutated(_ samples: [String], using generator: inout SeededGenerator) -> [UInt8] {
        var text = ""
        for _ in 0...Int.random(in: 0...2, using: &generator) {
            text += samples.randomElement(using: &generator) ?? ""
        }
        var bytes = latin1(text)
        for _ in 0..<Int.random(in: 0...4, using: &generator) {
            let position = Int.random(in: 0...bytes.count, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0 where position < bytes.count:
                bytes[position] = UInt8.random(in: .min ... .max, using: &generator)
            case 1 where position < bytes.count:
                let end = min(bytes.count, position + Int.random(in: 1...8, using: &generator))
                bytes.removeSubrange(position..<end)
            case 2:
                let end = min(bytes.count, position + Int.random(in: 1...16, using: &generator))
                bytes.insert(contentsOf: Array(bytes[position..<end]), at: position)
            default:
                bytes.insert(contentsOf: latin1(Self.dictionary.randomElement(using: &generator) ?? ""), at: position)
            }
        }
        return bytes
    }

    private func cuts(of count: Int, using generator: inout SeededGenerator) -> [Int] {
        let number = Int.random(in: 0...6, using: &generator)
        return (0..<number).map { _ in Int.random(in: 0...count, using: &generator) }.sorted()
    }

    @Test("no request traps the parser, and splitting it changes nothing", arguments: [1, 2, 3, 4] as [UInt64])
    func requestParser(seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        for round in 0..<2_000 {
            let input = mutated(Self.requests, using: &generator)
            let whole = parseRequests(input, limits: round % 2 == 0 ? HTTPLimits() : .small)
            let split = parseRequests(
                input, cuts: cuts(of: input.count, using: &generator),
                limits: round % 2 == 0 ? HTTPLimits() : .small)
            guard whole == split else {
                Issue.record("seed \(seed), round \(round): \(String(decoding: input, as: UTF8.self).debugDescription)")
                return
            }
            for request in whole.messages { _ = try? request.queryItems() }
        }
    }

    @Test("no response traps the client's parser, and splitting it changes nothing", arguments: [1, 2] as [UInt64])
    func responseParser(seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        for round in 0..<2_000 {
            let input = mutated(Self.responses, using: &generator)
            let method: HTTPMethod = round % 3 == 0 ? .head : .get
            let whole = parseResponses(input, method: method)
            let split = parseResponses(input, cuts: cuts(of: input.count, using: &generator), method: method)
            guard whole == split else {
                Issue.record("seed \(seed), round \(round): \(String(decoding: input, as: UTF8.self).debugDescription)")
                return
            }
        }
    }

    @Test(
        "a connection takes no more than it was given, answers each event once, and always comes to an end",
        arguments: [1, 2, 3, 4] as [UInt64])
    func connection(seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        for round in 0..<1_000 {
            var connection = HTTPConnection(limits: .small, now: Moment.after(.zero).instant)
            var input = ByteBuffer()
            var output = ByteBuffer()
            var elapsed = Duration.zero
            var events = 0
            var responses = 0
            let bytes = mutated(Self.requests, using: &generator)
            var start = 0
            for cut in cuts(of: bytes.count, using: &generator) + [bytes.count] {
                input.append(Array(bytes[start..<cut]))
                start = cut
                elapsed += .milliseconds(Int.random(in: 0...4_000, using: &generator))
                if connection.tick(now: .after(elapsed)) != nil { events += 1 }
                var given = input.count
                while connection.next(&input, now: .after(elapsed), output: &output) != nil {
                    events += 1
                    guard input.count <= given, connection.isAwaitingResponse else {
                        Issue.record("seed \(seed), round \(round)")
                        return
                    }
                    given = input.count
                    if Bool.random(using: &generator) { connection.endOfInput() }
                    if Bool.random(using: &generator) { break }
                    connection.respond(HTTPResponse(status: 200), now: .after(elapsed), output: &output)
                    responses += 1
                }
            }
            // Whoever waits for a response gets it; then time alone brings the connection to its end.
            var turns = 0
            while !connection.isClosing, turns < 100 {
                turns += 1
                if connection.isAwaitingResponse {
                    connection.respond(HTTPResponse(status: 400), now: .after(elapsed), output: &output)
                    responses += 1
                } else if connection.next(&input, now: .after(elapsed), output: &output) != nil {
                    events += 1
                } else if let deadline = connection.nextDeadline {
                    elapsed = deadline - Moment.after(.zero).instant
                    if connection.tick(now: .after(elapsed)) != nil { events += 1 }
                }
            }
            guard connection.isClosing, events == responses else {
                Issue.record("seed \(seed), round \(round): \(events) events, \(responses) responses")
                return
            }
        }
    }
}
