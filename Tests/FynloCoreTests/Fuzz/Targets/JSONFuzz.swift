// JSON in, messages out. Input: the text and nothing else, so that any JSON file is a seed.

import FynloCore

func fuzzJSON(_ text: [UInt8]) throws(FuzzFailure) {
    let result = scan(text)
    try checkShifted(text, result)
    // The scanner expects UTF-8; anything else must merely not harm it.
    guard String(validating: text.span) != nil else { return }
    try require(ReferenceJSON.verdict(text) == Verdict(result), "the grammar is RFC 8259's: \(result)")
    if case .success(let value) = result {
        try check(value, in: text)
        try checkSafeCopy(of: value, in: text)
    }
    try checkMessage(text)
    try checkBodies(text)
}

private func scan(_ text: [UInt8]) -> Result<JSONValue, JSONError> {
    Result { () throws(JSONError) in try JSON.scan(text.span) }
}

private func describe(_ result: Result<JSONValue, JSONError>, shiftedBy shift: Int) -> String {
    switch result {
    case .success(let value):
        "\(value.kind) \(value.positions.lowerBound + shift)..<\(value.positions.upperBound + shift) \(value.hasEscapes)"
    case .failure(.malformed(let position)): "malformed at \(position + shift)"
    case .failure(let error): "\(error)"
    }
}

/// Eight bytes at a time or one by one, from wherever the text begins: the same outcome.
private func checkShifted(_ text: [UInt8], _ result: Result<JSONValue, JSONError>) throws(FuzzFailure) {
    for shift in [1, 3, 4, 7] {
        let shifted = scan([UInt8](repeating: 0x20, count: shift) + text)
        try require(
            describe(shifted, shiftedBy: 0) == describe(result, shiftedBy: shift),
            "white space before changes nothing: \(shifted), \(result)")
    }
}

// MARK: Values

private func check(_ value: JSONValue, in text: [UInt8]) throws(FuzzFailure) {
    let own = Array(text[value.positions])
    try require(
        describe(scan(own), shiftedBy: value.positions.lowerBound) == describe(.success(value), shiftedBy: 0),
        "a value is itself JSON")
    switch value.kind {
    case .string:
        guard let string = JSON.string(value, in: text.span) else {
            throw FuzzFailure(description: "a string has a text: \(own)")
        }
        var written = ByteBuffer()
        written.append(jsonString: string)
        let bytes = written.bytes()
        let read = try? JSON.string(JSON.scan(bytes.span), in: bytes.span)
        try require(read == string, "a string survives writing and reading: \(string)")
        try require(!bytes.contains { $0 < 0x20 || $0 == UInt8(ascii: "<") }, "written strings are harmless")
    case .number:
        let integer = JSON.integer(value, in: text.span)
        try require(integer == Int64(String(decoding: own, as: UTF8.self)), "an integer is what it says: \(own)")
    case .object, .array:
        for part in try parts(of: value, in: text) {
            try require(
                part.positions.lowerBound > value.positions.lowerBound
                    && part.positions.upperBound < value.positions.upperBound, "parts lie within the whole")
            try check(part, in: text)
        }
    case .boolean, .null:
        try require(["true", "false", "null"].contains(String(decoding: own, as: UTF8.self)), "a literal: \(own)")
    }
}

/// Keys and values of an object, elements of an array.
private func parts(of value: JSONValue, in text: [UInt8]) throws(FuzzFailure) -> [JSONValue] {
    var parts: [JSONValue] = []
    do {
        switch value.kind {
        case .object: try JSON.scanMembers(of: value, in: text.span) { parts += [$0, $1] }
        case .array: try JSON.scanElements(of: value, in: text.span) { parts.append($0) }
        case .string, .number, .boolean, .null: break
        }
    } catch {
        throw FuzzFailure(description: "what was scanned can be scanned again: \(error)")
    }
    return parts
}

/// The copy that is safe to embed is the same JSON.
private func checkSafeCopy(of value: JSONValue, in text: [UInt8]) throws(FuzzFailure) {
    var written = ByteBuffer()
    written.append(safeJSON: text.span)
    let copy = written.bytes()
    try require(!copy.contains { [UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&")].contains($0) }, "no markup")
    guard case .success(let copied) = scan(copy) else { throw FuzzFailure(description: "a safe copy is JSON: \(copy)") }
    try require(try isEqual(value, text, copied, copy), "a safe copy says the same: \(copy)")
}

private func isEqual(
    _ left: JSONValue, _ leftText: [UInt8], _ right: JSONValue, _ rightText: [UInt8]
) throws(FuzzFailure) -> Bool {
    guard left.kind == right.kind else { return false }
    switch left.kind {
    case .string:
        return JSON.string(left, in: leftText.span) == JSON.string(right, in: rightText.span)
    case .object, .array:
        let (leftParts, rightParts) = (try parts(of: left, in: leftText), try parts(of: right, in: rightText))
        guard leftParts.count == rightParts.count else { return false }
        for (part, other) in zip(leftParts, rightParts) {
            guard try isEqual(part, leftText, other, rightText) else { return false }
        }
        return true
    case .number, .boolean, .null:
        return leftText[left.positions] == rightText[right.positions]
    }
}

// MARK: Messages

private let decoder = MessageDecoder(Limits())

private func checkMessage(_ text: [UInt8]) throws(FuzzFailure) {
    guard let envelope = try? decoder.decode(text.span) else { return }
    if let id = try? decoder.commandID(of: envelope, in: text.span) {
        try require((1...128).contains(id.utf8.count) && !id.utf8.contains(0), "an id within its limits: \(id)")
        try checkOutgoing { output in
            MessageEncoder.append(
                .acknowledgement(id: id, sequence: 1), id: FuzzSample.messageID, restaurant: FuzzSample.restaurant,
                at: FuzzSample.time, to: &output)
        }
    }
    switch envelope.message {
    case .success(.authenticate(let request?)):
        try require(!request.token.isEmpty && request.user?.isEmpty == false, "nothing required is empty")
        try require(!request.restaurant.isEmpty, "nothing required is empty")
        for text in [request.clientType, request.clientVersion, request.deviceID].compactMap({ $0 }) {
            try require((1...64).contains(text.utf8.count), "free text within its limits: \(text)")
        }
    case .success(.reauthenticate(let token)):
        try require(token?.isEmpty != true, "nothing required is empty")
    case .success(.ping(let data, _, _)):
        guard let data else { break }
        try checkOutgoing { output in
            output.write(atMost: MessageEncoder.pongBytes + data.count) { output in
                MessageEncoder.appendPong(
                    echo: text.span.extracting(data), id: FuzzSample.messageID, restaurant: FuzzSample.restaurant,
                    at: FuzzSample.time, to: &output)
            }
        }
    case .success(.orderStatusUpdate(let update)):
        try require((update.expectedVersion ?? 1) >= 1, "versions count from 1")
    case .success(.transient(let event, let data)):
        try require(data.count <= 16_384 && text[data.lowerBound] == UInt8(ascii: "{"), "data is an object")
        try checkOutgoing { output in
            output = MessageEncoder.transientFrame(
                event, data: text.span.extracting(data), user: FuzzSample.user, id: FuzzSample.messageID,
                restaurant: FuzzSample.restaurant, at: FuzzSample.time)
            // The frame's header.
            output.consume(output[1] == 127 ? 10 : 4)
        }
    case .success(.pong), .success(.authenticate(nil)):
        break
    case .failure(let error):
        try require(!error.detail.isEmpty, "errors are sentences")
    }
}

/// What we send is JSON, whatever came in.
private func checkOutgoing(_ write: (inout ByteBuffer) -> Void) throws(FuzzFailure) {
    var output = ByteBuffer()
    write(&output)
    let text = output.bytes()
    try require(ReferenceJSON.verdict(text) == .valid, "we send JSON: \(String(decoding: text, as: UTF8.self))")
}

/// Whoever takes part in what the targets play.
enum FuzzSample {
    static let restaurant = RestaurantID(UUID128(high: 0x1111_1111_1111_4111, low: 0x8111_1111_1111_1111))
    static let user = UserID(UUID128(high: 0xaaaa_aaaa_aaaa_4aaa, low: 0x8aaa_aaaa_aaaa_aaaa))
    static let connection = ConnectionID(node: 0x0123_4567_89ab_cdef, number: 42)
    static let messageID = MessageID.direct(connection, number: 1)
    static let time = UnixTime(milliseconds: 1_769_882_645_123)
}

// MARK: The reference

/// What a text is.
private enum Verdict: Equatable {
    case valid, invalid, tooDeep

    init(_ result: Result<JSONValue, JSONError>) {
        switch result {
        case .success: self = .valid
        case .failure(.tooDeep): self = .tooDeep
        case .failure: self = .invalid
        }
    }
}

/// RFC 8259 once more, one character at a time and without any cleverness.
private struct ReferenceJSON {
    private var rest: ArraySlice<UInt8>

    static func verdict(_ text: [UInt8]) -> Verdict {
        var reader = ReferenceJSON(rest: text[...])
        do {
            try reader.value(depth: 0)
            return reader.rest.isEmpty ? .valid : .invalid
        } catch {
            return error.verdict
        }
    }

    private struct Stop: Error {
        var verdict: Verdict
    }

    private mutating func take(_ text: String) -> Bool {
        guard rest.starts(with: text.utf8) else { return false }
        rest = rest.dropFirst(text.utf8.count)
        return true
    }

    private mutating func need(_ isTrue: Bool) throws(Stop) {
        if !isTrue { throw Stop(verdict: .invalid) }
    }

    private mutating func blank() {
        while take(" ") || take("\t") || take("\n") || take("\r") {}
    }

    /// A value and the white space around it.
    private mutating func value(depth: Int) throws(Stop) {
        blank()
        if take("{") {
            try enter(depth)
            if !take("}") {
                repeat {
                    blank()
                    try string()
                    blank()
                    try need(take(":"))
                    try value(depth: depth + 1)
                } while take(",")
                try need(take("}"))
            }
        } else if take("[") {
            try enter(depth)
            if !take("]") {
                repeat { try value(depth: depth + 1) } while take(",")
                try need(take("]"))
            }
        } else if rest.first == UInt8(ascii: "\"") {
            try string()
        } else if !take("true"), !take("false"), !take("null") {
            try number()
        }
        blank()
    }

    private mutating func enter(_ depth: Int) throws(Stop) {
        if depth >= 32 { throw Stop(verdict: .tooDeep) }
        blank()
    }

    private mutating func string() throws(Stop) {
        try need(take("\""))
        while !take("\"") {
            if take("\\u") {
                let code = try codeUnit()
                switch code {
                case 0xd800..<0xdc00:
                    try need(take("\\u"))
                    try need((0xdc00..<0xe000).contains(codeUnit()))
                case 0xdc00..<0xe000: try need(false)
                default: break
                }
            } else if take("\\") {
                guard let escaped = rest.popFirst() else { throw Stop(verdict: .invalid) }
                try need("\"\\/bfnrt".utf8.contains(escaped))
            } else {
                guard let byte = rest.popFirst(), byte >= 0x20 else { throw Stop(verdict: .invalid) }
            }
        }
    }

    private mutating func codeUnit() throws(Stop) -> Int {
        let digits = String(decoding: rest.prefix(4), as: UTF8.self)
        rest = rest.dropFirst(4)
        guard digits.utf8.count == 4, !digits.hasPrefix("+"), !digits.hasPrefix("-"),
            let code = Int(digits, radix: 16)
        else { throw Stop(verdict: .invalid) }
        return code
    }

    private mutating func number() throws(Stop) {
        _ = take("-")
        if !take("0") { try digits() }
        if take(".") { try digits() }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            try digits()
        }
    }

    private mutating func digits() throws(Stop) {
        let count = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }.count
        try need(count > 0)
        rest = rest.dropFirst(count)
    }
}
