// The parameters of a request's query. Each is read as its type, or refused by name with the accepted range.

/// The decoded query of one request.
public struct QueryParameters: Sendable {
    /// The position of a parameter in `plain`.
    private struct Place: Sendable {
        var name: Range<Int>
        var value: Range<Int>
    }

    /// The query, if nothing in it has to be decoded, as in most requests: it is read in place.
    private let plain: String
    private var places: [Place] = []
    /// The decoded names and values of a query that has to be decoded.
    private let items: [(name: String, value: String)]

    /// Decodes the query. If it cannot be decoded, the whole query is refused.
    public init(_ request: HTTPRequest) throws(APIError) {
        let query = request.query ?? ""
        if let places = QueryParameters.places(in: query.utf8Span.span) {
            plain = query
            items = []
            self.places = places
            return
        }
        plain = ""
        do {
            items = try request.queryItems()
        } catch {
            throw APIError(.invalidParameter, error.detail)
        }
    }

    /// The positions of the parameters; `nil` if the query has escapes or non-ASCII characters.
    private static func places(in query: Span<UInt8>) -> [Place]? {
        guard !query.isEmpty else { return [] }
        var places: [Place] = []
        places.reserveCapacity(8)
        var start = 0
        var nameEnd: Int?
        for index in 0...query.count {
            // The end of the query ends its last piece.
            switch index < query.count ? query[index] : UInt8(ascii: "&") {
            case UInt8(ascii: "&"):
                if index > start {
                    let name = start..<(nameEnd ?? index)
                    places.append(Place(name: name, value: min(name.upperBound + 1, index)..<index))
                }
                start = index + 1
                nameEnd = nil
            case UInt8(ascii: "="): nameEnd = nameEnd ?? index
            case UInt8(ascii: "%"), UInt8(ascii: "+"), 0, 128...: return nil
            default: break
            }
        }
        return places
    }

    /// The value of a parameter, `nil` if it is absent; a repeated one is refused, since two readers may take two values.
    public func text(_ name: String) throws(APIError) -> String? {
        if let value = try plainValue(name) { return String(validating: plain.utf8Span.span.extracting(value)) }
        var found: String?
        for item in items where item.name == name {
            guard found == nil else { throw QueryParameters.repeated(name) }
            found = item.value
        }
        return found
    }

    /// The range of a parameter's value in `plain`.
    private func plainValue(_ name: String) throws(APIError) -> Range<Int>? {
        let (query, wanted) = (plain.utf8Span.span, name.utf8Span.span)
        var found: Range<Int>?
        for place in places
        where place.name.count == wanted.count && query.extracting(place.name).equals(wanted) {
            guard found == nil else { throw QueryParameters.repeated(name) }
            found = place.value
        }
        return found
    }

    private static func repeated(_ name: String) -> APIError {
        APIError(.invalidParameter, "\(name) is given more than once; give it once.")
    }

    /// A UUID, `nil` if it is absent.
    public func uuid(_ name: String) throws(APIError) -> UUID128? {
        let uuid: UUID128?
        if let value = try plainValue(name) {
            uuid = UUID128(plain.utf8Span.span.extracting(value))
        } else {
            guard let text = try text(name) else { return nil }
            uuid = UUID128(text)
        }
        guard let uuid else {
            throw APIError(
                .invalidParameter, "\(name) is not a UUID; it looks like 123e4567-e89b-42d3-a456-426614174000.")
        }
        return uuid
    }

    /// The restaurant the request is about: required.
    public func restaurant() throws(APIError) -> RestaurantID {
        guard let uuid = try uuid("restaurant_id") else {
            throw APIError(.invalidParameter, "restaurant_id is missing; give the restaurant's UUID.")
        }
        return RestaurantID(uuid)
    }

    /// A whole number within `range`; `fallback` if it is absent.
    public func integer(_ name: String, in range: ClosedRange<Int>, default fallback: Int) throws(APIError) -> Int {
        let found: Int?
        if let value = try plainValue(name) {
            found = QueryParameters.number(plain.utf8Span.span.extracting(value))
        } else if let text = try text(name) {
            found = QueryParameters.number(text.utf8Span.span)
        } else {
            return fallback
        }
        guard let number = found, range.contains(number) else {
            throw APIError(
                .invalidParameter,
                "\(name) has to be a whole number from \(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    /// A number that consists of digits only; `nil` for anything else, and if an Int cannot hold it.
    private static func number(_ digits: Span<UInt8>) -> Int? {
        guard !digits.isEmpty else { return nil }
        var number = 0
        for index in digits.indices {
            guard digits[index].isDigit else { return nil }
            let (product, isTooLarge) = number.multipliedReportingOverflow(by: 10)
            let (sum, isJustTooLarge) = product.addingReportingOverflow(Int(digits[index] - UInt8(ascii: "0")))
            guard !isTooLarge, !isJustTooLarge else { return nil }
            number = sum
        }
        return number
    }

    /// A time in RFC 3339; `nil` if it is absent.
    public func time(_ name: String) throws(APIError) -> UnixTime? {
        guard let text = try text(name) else { return nil }
        guard let time = UnixTime(rfc3339: text) else {
            throw APIError(
                .invalidParameter,
                "\(name) has to be a time such as 2026-01-31T18:04:05.123Z (RFC 3339; write a plus sign as %2B).")
        }
        return time
    }

    /// `true` or `false`, in any case, or `1` or `0`; `fallback` if it is absent.
    public func boolean(_ name: String, default fallback: Bool) throws(APIError) -> Bool {
        guard let text = try text(name) else { return fallback }
        switch text.lowercased() {
        case "true", "1": return true
        case "false", "0": return false
        default: throw APIError(.invalidParameter, "\(name) has to be true or false.")
        }
    }
}
