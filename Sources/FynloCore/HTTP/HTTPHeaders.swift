// The fields of a message, in order. All names and values share one array of bytes: a message's headers take two allocations
// however many there are, and only a value that is asked for becomes a string. The array has the form that is sent, so that
// fields made once, such as those of a menu page, are written by copying it.

/// An ordered list of header fields. Names compare without case; a name may occur more than once.
///
/// Parsed names are lower-cased; appended names are sent as written. No value has a control character other than the tab,
/// wherever it came from, so that no value can end its line on the wire.
public struct HTTPHeaders: Sendable, ExpressibleByDictionaryLiteral {
    private var text: [UInt8] = []
    private var fields: [Field] = []

    /// Where a field is in `text`: `name: value` and a line break.
    private struct Field: Sendable {
        var start: UInt32
        var nameEnd: UInt32
        /// Where the value ends.
        var end: UInt32

        var name: Range<Int> { Int(start)..<Int(nameEnd) }
        var value: Range<Int> { Int(nameEnd) + 2..<Int(end) }
        var line: Range<Int> { Int(start)..<Int(end) + 2 }
    }

    /// No fields; allocates nothing.
    public init() {}

    /// The fields in the order given.
    public init(_ fields: [(name: String, value: String)]) {
        for field in fields { append(field.name, field.value) }
    }

    /// The fields in the order given.
    public init(dictionaryLiteral fields: (String, String)...) {
        for (name, value) in fields { append(name, value) }
    }

    // MARK: Reading

    /// The number of fields; repeated names count each time.
    public var count: Int { fields.count }

    public var isEmpty: Bool { fields.isEmpty }

    /// How many fields have that name.
    public func count(_ name: String) -> Int {
        var matches = 0
        forEachPosition(of: name) { _ in matches += 1 }
        return matches
    }

    /// The value of the first field with that name, without white space at its ends; `nil` if there is none. Bytes that are
    /// not UTF-8 become U+FFFD.
    public func first(_ name: String) -> String? {
        firstPosition(of: name.utf8Span.span, from: 0).map { value(at: $0) }
    }

    /// The values of all fields of that name, in order.
    public func values(_ name: String) -> [String] {
        var values: [String] = []
        forEachPosition(of: name) { values.append(value(at: $0)) }
        return values
    }

    /// RFC 9110 §5.6.1: the elements of all fields with that name as one comma-separated list, lower-cased, without empty ones.
    /// Not for values with quoted strings.
    public func tokens(_ name: String) -> [String] {
        var tokens: [String] = []
        forEachElement(of: name) { element in
            var lowercased: [UInt8] = []
            lowercased.reserveCapacity(element.count)
            for index in element.indices { lowercased.append(element[index].lowercased) }
            tokens.append(String(decoding: lowercased, as: UTF8.self))
        }
        return tokens
    }

    /// True when `token` is one of `tokens(name)`; makes no strings.
    public func hasToken(_ token: String, in name: String) -> Bool {
        var found = false
        forEachElement(of: name) { if $0.equalsIgnoringCase(token.utf8Span.span) { found = true } }
        return found
    }

    /// The name and the value of the field at a position, 0 to `count` - 1.
    public subscript(position: Int) -> (name: String, value: String) {
        (name: name(at: position), value: value(at: position))
    }

    func name(at position: Int) -> String {
        String(decoding: text[fields[position].name], as: UTF8.self)
    }

    func value(at position: Int) -> String {
        String(decoding: text[fields[position].value], as: UTF8.self)
    }

    /// Lends the bytes of a name and of its value.
    func withField<Result, Failure: Error>(
        at position: Int, _ body: (_ name: Span<UInt8>, _ value: Span<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let field = fields[position]
        return try body(text.span.extracting(field.name), text.span.extracting(field.value))
    }

    /// Lends the value of the only field with that name; `nil` if there is none, or more than one.
    public func withOnlyValue<Result>(of name: StaticString, _ body: (Span<UInt8>) -> Result) -> Result? {
        var only: Int?
        for position in fields.indices where isNamed(name, position) {
            guard only == nil else { return nil }
            only = position
        }
        return only.map { body(text.span.extracting(fields[$0].value)) }
    }

    /// True if at least one field has that name.
    func contains(_ name: StaticString) -> Bool {
        fields.indices.contains { isNamed(name, $0) }
    }

    private func isNamed(_ name: StaticString, _ position: Int) -> Bool {
        let range = fields[position].name
        return range.count == name.utf8CodeUnitCount && text.span.extracting(range).equalsIgnoringCase(name)
    }

    /// Lends all fields in the form that is sent: `name: value` and a line break each.
    func withLines<Result>(_ body: (Span<UInt8>) -> Result) -> Result {
        body(text.span)
    }

    /// The first position at or after `start` whose field has that name, or `nil`.
    private func firstPosition(of name: Span<UInt8>, from start: Int) -> Int? {
        var position = start
        while position < fields.count {
            let range = fields[position].name
            if range.count == name.count, text.span.extracting(range).equalsIgnoringCase(name) { return position }
            position += 1
        }
        return nil
    }

    private func forEachPosition(of name: String, _ body: (Int) -> Void) {
        let name = name.utf8Span.span
        var next = firstPosition(of: name, from: 0)
        while let position = next {
            body(position)
            next = firstPosition(of: name, from: position + 1)
        }
    }

    /// Lends the elements of `tokens(name)` in their original case.
    func forEachElement(of name: String, _ body: (Span<UInt8>) -> Void) {
        forEachPosition(of: name) { position in
            let value = text.span.extracting(fields[position].value)
            var start = 0
            while start <= value.count {
                let end = value.firstIndex(of: UInt8(ascii: ","), from: start) ?? value.count
                let element = value.trimming(start..<end)
                if !element.isEmpty { body(value.extracting(element)) }
                start = end + 1
            }
        }
    }

    // MARK: Writing

    /// Adds a field at the end.
    ///
    /// `name` must be a token. `value` may come from a client: control characters, and white space at its ends, are dropped.
    public mutating func append(_ name: String, _ value: String) {
        let nameSpan = name.utf8Span.span
        precondition(!nameSpan.isEmpty && nameSpan.consists(of: .token), "the name of a header field is a token")
        let valueSpan = value.utf8Span.span
        add(nameSpan, valueSpan.extracting(valueSpan.trimming(0..<valueSpan.count)))
    }

    /// Adds a field; of its value, only bytes allowed in field content are taken.
    private mutating func add(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        let start = text.count
        text.append(copying: name)
        let nameEnd = text.count
        text.append(UInt8(ascii: ":"))
        text.append(.space)
        if value.indices.allSatisfy({ value[$0].isFieldContent }) {
            text.append(copying: value)
        } else {
            for index in value.indices where value[index].isFieldContent { text.append(value[index]) }
        }
        add(start: start, nameEnd: nameEnd)
    }

    /// Replaces all fields of that name by one at the end.
    public mutating func set(_ name: String, _ value: String) {
        remove(name)
        append(name, value)
    }

    /// Removes all fields of that name.
    public mutating func remove(_ name: String) {
        var kept = HTTPHeaders()
        for field in fields where !text.span.extracting(field.name).equalsIgnoringCase(name.utf8Span.span) {
            let start = kept.text.count
            kept.text.append(contentsOf: text[field.line])
            let end = UInt32(kept.text.count - 2)
            kept.fields.append(
                Field(start: UInt32(start), nameEnd: UInt32(start) + field.nameEnd - field.start, end: end))
        }
        self = kept
    }

    /// Adds the field of a received line, lower-casing its name. The line has no line break and is all `isFieldContent`.
    ///
    /// RFC 9112 §5: the line is `name ":" OWS value OWS`. Throws if it is not, or if it begins with white space, as obsolete
    /// folded lines do.
    mutating func append(line: Span<UInt8>) throws(HTTPError) {
        let colon = try Self.colon(in: line)
        let start = text.count
        text.append(copying: line.extracting(0..<colon))
        let nameEnd = text.count
        for index in start..<nameEnd { text[index] = text[index].lowercased }
        text.append(UInt8(ascii: ":"))
        text.append(.space)
        text.append(copying: line.extracting(line.trimming(colon + 1..<line.count)))
        add(start: start, nameEnd: nameEnd)
    }

    /// Where the name of a field line ends; throws as `append(line:)` does.
    static func colon(in line: Span<UInt8>) throws(HTTPError) -> Int {
        let token = ByteSet.token
        var index = 0
        while index < line.count, token.contains(line[index]) { index += 1 }
        if index == 0, line.count > 0, line[0] == .space || line[0] == .tab { throw .leadingWhitespace }
        guard index > 0, index < line.count, line[index] == UInt8(ascii: ":") else { throw .invalidFieldName }
        return index
    }

    /// Reserves room for headers of about `bytes` bytes.
    mutating func reserve(bytes: Int) {
        text.reserveCapacity(bytes)
        fields.reserveCapacity(16)
    }

    /// Ends the line that begins at `start` and records the field.
    private mutating func add(start: Int, nameEnd: Int) {
        fields.append(Field(start: UInt32(start), nameEnd: UInt32(nameEnd), end: UInt32(text.count)))
        text.append(.carriageReturn)
        text.append(.lineFeed)
    }
}

extension HTTPHeaders: Equatable {
    /// Equal if the fields and their order are equal: names ignoring case, values byte for byte.
    public static func == (left: HTTPHeaders, right: HTTPHeaders) -> Bool {
        guard left.count == right.count else { return false }
        for index in left.fields.indices {
            let (leftField, rightField) = (left.fields[index], right.fields[index])
            let leftName = left.text.span.extracting(leftField.name)
            guard leftName.equalsIgnoringCase(right.text.span.extracting(rightField.name)),
                left.text[leftField.value] == right.text[rightField.value]
            else { return false }
        }
        return true
    }
}
