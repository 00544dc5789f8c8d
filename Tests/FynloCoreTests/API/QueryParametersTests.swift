import FynloCore
import Testing

private func query(_ text: String?) throws -> QueryParameters {
    try QueryParameters(HTTPRequest(method: .get, path: "/", query: text))
}

/// What a reading is refused with; `nil` when it is not.
private func refusal<T>(_ read: () throws(APIError) -> T) -> APIError? {
    do {
        _ = try read()
        return nil
    } catch {
        return error
    }
}

private func check(_ error: APIError?, names name: String, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(error?.status == 422 && error?.code == .invalidParameter, sourceLocation: sourceLocation)
    #expect(error?.detail.hasPrefix(name + " ") == true, "\(error?.detail ?? "")", sourceLocation: sourceLocation)
}

@Suite("QueryParameters")
struct QueryParametersTests {
    @Test("values are decoded, and absent ones are absent")
    func text() throws {
        let parameters = try query("a=1&b=x%20y+z&c=&d&%65=f&a%26=g")
        #expect(try parameters.text("a") == "1")
        #expect(try parameters.text("b") == "x y z")
        #expect(try parameters.text("c") == "" && parameters.text("d") == "")
        #expect(try parameters.text("e") == "f" && parameters.text("a&") == "g")
        #expect(try parameters.text("A") == nil && parameters.text("f") == nil)
        #expect(try query(nil).text("a") == nil && query("").text("") == nil)
    }

    @Test(
        "one that is given twice is refused by name, also when it says the same twice",
        arguments: ["page=1&page=2", "page=1&x=2&page=1", "page&page", "page=1&%70age=1"])
    func repeated(text: String) throws {
        let parameters = try query(text)
        check(refusal { () throws(APIError) in try parameters.text("page") }, names: "page")
        check(
            refusal { () throws(APIError) in try parameters.integer("page", in: 1...9, default: 1) }, names: "page")
        #expect(try parameters.text("other") == nil)
    }

    @Test(
        "a query that cannot be decoded is refused as a whole",
        arguments: ["a=%", "a=%zz", "a=%ff", "a=%00", "%=1", "a=1&b=%f"])
    func undecodable(text: String) {
        let error = refusal { () throws(APIError) in
            try QueryParameters(HTTPRequest(method: .get, path: "/", query: text))
        }
        #expect(error?.status == 422 && error?.code == .invalidParameter)
    }

    @Test("the restaurant is required, and a UUID")
    func restaurant() throws {
        #expect(try query("restaurant_id=\(Sample.restaurant)").restaurant() == Sample.restaurant)
        #expect(
            try query("restaurant_id=\(Sample.restaurant.description.uppercased())").restaurant() == Sample.restaurant)
        for text in [nil, "restaurant=\(Sample.restaurant)", "restaurant_id=", "restaurant_id=1", "restaurant_id"] {
            let parameters = try query(text)
            check(refusal { () throws(APIError) in try parameters.restaurant() }, names: "restaurant_id")
        }
    }

    @Test("other UUIDs may be absent, but not wrong")
    func uuid() throws {
        #expect(try query("category=\(Sample.order)").uuid("category") == Sample.order.uuid)
        #expect(try query("x=1").uuid("category") == nil)
        for text in ["category=", "category=all", "category=\(Sample.order)x"] {
            let parameters = try query(text)
            check(refusal { () throws(APIError) in try parameters.uuid("category") }, names: "category")
        }
    }

    @Test(
        "whole numbers are taken within their range",
        arguments: [
            ("limit=1", 1), ("limit=100", 100), ("limit=50", 50), ("limit=007", 7), ("x=1", 25), ("limit=0", nil),
            ("limit=101", nil), ("limit=-1", nil), ("limit=+1", nil), ("limit=%2B1", nil), ("limit=1.0", nil),
            ("limit=1e1", nil),
            ("limit=", nil), ("limit", nil), ("limit=ten", nil), ("limit=%201", nil), ("limit=1%20", nil),
            ("limit=0x1", nil),
            ("limit=9223372036854775807", nil), ("limit=9223372036854775808", nil),
            ("limit=99999999999999999999999999", nil), ("limit=%D9%A1", nil),
        ] as [(String, Int?)])
    func integers(text: String, expected: Int?) throws {
        let parameters = try query(text)
        var value: Int?
        let error = refusal { () throws(APIError) in
            value = try parameters.integer("limit", in: 1...100, default: 25)
        }
        #expect(value == expected)
        if expected == nil {
            check(error, names: "limit")
            #expect(error?.detail.contains("from 1 to 100") == true)
        }
    }

    @Test(
        "truth is told in any case, or by a digit",
        arguments: [
            ("b=true", true), ("b=True", true), ("b=TRUE", true), ("b=1", true), ("b=false", false), ("b=False", false),
            ("b=0", false), ("x=0", true), ("b=", nil), ("b", nil), ("b=yes", nil), ("b=2", nil), ("b=true%20", nil),
        ] as [(String, Bool?)])
    func booleans(text: String, expected: Bool?) throws {
        let parameters = try query(text)
        var value: Bool?
        let error = refusal { () throws(APIError) in value = try parameters.boolean("b", default: true) }
        #expect(value == expected)
        if expected == nil { check(error, names: "b") }
    }

    @Test("times are RFC 3339, in any zone")
    func times() throws {
        let parameters = try query(
            "a=2026-01-31T18:04:05.123Z&b=2026-01-31T19:04:05.1239%2B01:00&c=2026-01-31T19:04:05+01:00&d=&e=now&f=2026-01-31"
        )
        #expect(try parameters.time("a") == Sample.time && parameters.time("b") == Sample.time)
        #expect(try parameters.time("x") == nil)
        for name in ["c", "d", "e", "f"] {
            check(refusal { () throws(APIError) in try parameters.time(name) }, names: name)
        }
    }
}
