// The JSON body of a request. Each member is read as its type, or refused by its path. Numbers keep their digits: amounts
// are read from the text itself.

/// One object of a body. Unknown members are ignored; `null` counts as absent.
public struct RequestBody: Sendable {
    private let text: [UInt8]
    /// The prefix of a member's name in a refusal: empty, or `items[2].`.
    private let path: String
    private let names: [StaticString]
    /// In the order of `names`.
    private let values: [JSONValue?]

    /// Reads the members `names` of a request's body.
    ///
    /// A Content-Type other than application/json is answered 415, a body that is too large 413, and a body that is not JSON
    /// 400. A body that is not an object or repeats a member is answered 422, since two readers may take different values.
    public init(_ request: HTTPRequest, names: [StaticString], limits: Limits) throws(APIError) {
        guard request.body.count <= limits.requestBodyBytes else {
            throw APIError(
                .invalidRequest, "The body must not be larger than \(limits.requestBodyBytes) bytes.", status: 413)
        }
        try RequestBody.checkContentType(request.headers)
        let value = try RequestBody.scan(request.body.span)
        guard value.kind == .object else {
            throw APIError(.invalidParameter, "The body has to be one JSON object.")
        }
        try self.init(value, text: request.body, path: "", names: names)
    }

    private init(
        _ object: JSONValue, text: [UInt8], path: String, names: [StaticString]
    ) throws(APIError) {
        self.text = text
        self.path = path
        self.names = names
        let (values, repeated) = RequestBody.members(of: object, in: text.span, names)
        self.values = values
        if let repeated { throw refusal(repeated, "is given more than once; give it once.") }
    }

    /// The values of the members with these names, and the name of a repeated one. The object was validated before.
    private static func members(
        of object: JSONValue, in text: Span<UInt8>, _ names: [StaticString]
    ) -> (values: [JSONValue?], repeated: StaticString?) {
        var values = [JSONValue?](repeating: nil, count: names.count)
        var repeated: StaticString?
        do {
            try JSON.scanMembers(of: object, in: text) { key, value in
                // A name with escapes is decoded once, not for each comparison.
                let decoded = key.hasEscapes ? JSON.string(key, in: text) : nil
                let index = names.firstIndex { name in
                    key.hasEscapes ? decoded == String(describing: name) : JSON.equals(key, name, in: text)
                }
                guard let index else { return }
                if values[index] != nil { repeated = names[index] }
                values[index] = value
            }
        } catch {
            preconditionFailure("an object that was scanned before is valid: \(error)")
        }
        return (values, repeated)
    }

    /// The first `limit` elements of an array, and the number of all elements. The array was validated before.
    private static func elements(
        of array: JSONValue, in text: Span<UInt8>, limit: Int
    ) -> (elements: [JSONValue], count: Int) {
        var elements: [JSONValue] = []
        var count = 0
        do {
            try JSON.scanElements(of: array, in: text) { element in
                count += 1
                if count <= limit { elements.append(element) }
            }
        } catch {
            preconditionFailure("an array that was scanned before is valid: \(error)")
        }
        return (elements, count)
    }

    private static func checkContentType(_ headers: HTTPHeaders) throws(APIError) {
        let types = headers.values("content-type")
        // Parameters, as in `application/json; charset=utf-8`, change nothing: JSON is UTF-8 (RFC 8259 §8.1).
        let isJSON = types.allSatisfy { type in
            let name = type.prefix { $0 != ";" }.filter { $0 != " " && $0 != "\t" }
            return name.lowercased() == "application/json"
        }
        guard types.count <= 1, isJSON else {
            throw APIError(
                .invalidRequest, "The body has to be JSON: send Content-Type: application/json.", status: 415)
        }
    }

    private static func scan(_ text: Span<UInt8>) throws(APIError) -> JSONValue {
        var validator = UTF8Validator()
        guard validator.accept(text), validator.isAtBoundary else {
            throw APIError(.invalidRequest, "The body is not valid UTF-8.")
        }
        do {
            return try JSON.scan(text)
        } catch {
            switch error {
            case .tooDeep(let limit):
                throw APIError(.invalidRequest, "The body is nested deeper than \(limit) levels.")
            case .malformed where text.isEmpty:
                throw APIError(.invalidRequest, "The body is empty; send one JSON object.")
            case .malformed(let position):
                throw APIError(.invalidRequest, "The body is not valid JSON from byte \(position) on.")
            case .notAnObject:
                throw APIError(.invalidParameter, "The body has to be one JSON object.")
            }
        }
    }

    // MARK: Members

    /// The refusal of a member: its path and what is wrong with it.
    public func refusal(_ name: StaticString, _ what: String) -> APIError {
        APIError(.invalidParameter, "\(path)\(name) \(what)")
    }

    /// A member's value; throws when it is absent.
    public func required<Value>(_ name: StaticString, _ value: Value?) throws(APIError) -> Value {
        guard let value else { throw refusal(name, "is missing.") }
        return value
    }

    /// Text of `bytes` bytes in UTF-8; `nil` if it is absent.
    public func text(_ name: StaticString, bytes: ClosedRange<Int>) throws(APIError) -> String? {
        guard let value = value(name) else { return nil }
        guard let string = JSON.string(value, in: text.span), bytes.contains(string.utf8.count) else {
            let size =
                bytes.lowerBound == 0 ? "at most \(bytes.upperBound)" : "\(bytes.lowerBound) to \(bytes.upperBound)"
            throw refusal(name, "has to be a text of \(size) bytes.")
        }
        guard !string.utf8.contains(0) else { throw hasNUL(name) }
        return string
    }

    /// A UUID; `nil` if it is absent.
    public func uuid(_ name: StaticString) throws(APIError) -> UUID128? {
        guard let value = value(name) else { return nil }
        guard let uuid = JSON.string(value, in: text.span).flatMap({ UUID128($0) }) else {
            throw refusal(name, "is not a UUID; it looks like 123e4567-e89b-42d3-a456-426614174000.")
        }
        return uuid
    }

    /// A number without fraction and exponent; `nil` if it is absent.
    public func integer(_ name: StaticString, in range: ClosedRange<Int32>) throws(APIError) -> Int32? {
        guard let value = value(name) else { return nil }
        guard let number = JSON.integer(value, in: text.span).flatMap({ Int32(exactly: $0) }), range.contains(number)
        else {
            throw refusal(name, "has to be a whole number from \(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    /// An amount of money; `nil` if it is absent.
    public func money(_ name: StaticString) throws(APIError) -> Money? {
        guard let value = value(name) else { return nil }
        guard value.kind == .number else { throw refusal(name, "has to be a number, such as 7.50.") }
        do {
            return try Money(json: text.span.extracting(value.positions))
        } catch {
            switch error {
            case .negative: throw refusal(name, "must not be negative.")
            case .tooPrecise: throw refusal(name, "must not have more than two decimals.")
            case .tooLarge: throw refusal(name, "must not be more than 99999999.99.")
            }
        }
    }

    /// JSON of one kind and of at most `bytes` bytes, as it was sent; `nil` if it is absent. The database can store it: its
    /// texts contain no NUL, and the exponents of its numbers are limited.
    public func json(_ name: StaticString, _ kind: JSONValue.Kind, bytes: Int) throws(APIError) -> [UInt8]? {
        guard let value = value(name) else { return nil }
        guard value.kind == kind else {
            throw refusal(name, kind == .array ? "has to be an array." : "has to be an object.")
        }
        guard value.positions.count <= bytes else { throw refusal(name, "must not be larger than \(bytes) bytes.") }
        switch RequestBody.storability(text.span.extracting(value.positions)) {
        case .storable: return [UInt8](copying: text.span.extracting(value.positions))
        case .hasNUL: throw hasNUL(name)
        case .hasLongNumber:
            throw refusal(
                name, "holds a number of more than \(RequestBody.numberBytes) characters, or with a large exponent.")
        }
    }

    /// The elements of an array of objects; `nil` if it is absent.
    public func objects(
        _ name: StaticString, count: ClosedRange<Int>, names: [StaticString]
    ) throws(APIError) -> [RequestBody]? {
        guard let value = value(name) else { return nil }
        let array =
            value.kind == .array
            ? RequestBody.elements(of: value, in: text.span, limit: count.upperBound) : (elements: [], count: 0)
        guard value.kind == .array, count.contains(array.count) else {
            throw refusal(name, "has to be an array of \(count.lowerBound) to \(count.upperBound) objects.")
        }
        var objects: [RequestBody] = []
        for (index, element) in array.elements.enumerated() {
            let place = "\(path)\(name)[\(index)]"
            guard element.kind == .object else { throw APIError(.invalidParameter, "\(place) has to be an object.") }
            objects.append(try RequestBody(element, text: text, path: place + ".", names: names))
        }
        return objects
    }

    private func value(_ name: StaticString) -> JSONValue? {
        let text = String(describing: name)
        guard let index = names.firstIndex(where: { String(describing: $0) == text }) else {
            preconditionFailure("\(text) is one of the names that were asked for")
        }
        guard let value = values[index], value.kind != .null else { return nil }
        return value
    }

    private func hasNUL(_ name: StaticString) -> APIError {
        refusal(name, "holds a NUL character, which cannot be kept.")
    }

    // MARK: What a database can store

    private enum Storability { case storable, hasNUL, hasLongNumber }

    /// The largest number of characters of a number in JSON that is passed on.
    private static let numberBytes = 40
    /// The largest number of digits in such a number's exponent: the database writes 1e99 out in full.
    private static let exponentDigits = 2

    /// Scans valid JSON. Outside strings, digits occur only in numbers.
    private static func storability(_ json: Span<UInt8>) -> Storability {
        var index = 0
        var isInString = false
        while index < json.count {
            let byte = json[index]
            index += 1
            if isInString {
                if byte == UInt8(ascii: "\"") { isInString = false }
                guard byte == UInt8(ascii: "\\") else { continue }
                // The next byte is skipped, so that the second one of `\\` begins no escape. `\u0000` is the NUL.
                if json.extracting(index..<min(index + 5, json.count)).equals("u0000") { return .hasNUL }
                index += 1
            } else if byte == UInt8(ascii: "\"") {
                isInString = true
            } else if byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
                let start = index - 1
                var exponentDigits: Int?
                while index < json.count, continuesNumber(json[index]) {
                    if json[index] | 0x20 == UInt8(ascii: "e") { exponentDigits = 0 }
                    if json[index] >= UInt8(ascii: "0"), json[index] <= UInt8(ascii: "9") {
                        exponentDigits = exponentDigits.map { $0 + 1 }
                    }
                    index += 1
                }
                if index - start > numberBytes || exponentDigits ?? 0 > RequestBody.exponentDigits {
                    return .hasLongNumber
                }
            }
        }
        return .storable
    }

    private static func continuesNumber(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"),
            UInt8(ascii: "+"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
