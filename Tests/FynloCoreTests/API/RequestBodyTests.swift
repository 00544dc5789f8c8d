import FynloCore
import Testing

private let names: [StaticString] = ["a", "b", "list"]

private func request(_ body: [UInt8], _ headers: HTTPHeaders = [:]) -> HTTPRequest {
    HTTPRequest(method: .post, path: "/", headers: headers, body: body)
}

private func body(_ text: String) throws(APIError) -> RequestBody {
    try RequestBody(request(Array(text.utf8)), names: names, limits: Limits())
}

private func refusal<T>(_ read: () throws(APIError) -> T) -> APIError? {
    do {
        _ = try read()
        return nil
    } catch {
        return error
    }
}

@Suite("RequestBody")
struct RequestBodyTests {
    @Test("reads the members it is asked for and leaves others alone; null is absent")
    func members() throws {
        let text = """
             {"a": "x\\u00e9", "c": [1], "c": 2, "b": null, "list": [{"a": 7, "b": "y"}, {}], "\\u0064": {"a": 1, "a": 2}}
            """
        let body = try body(text)
        #expect(try body.text("a", bytes: 0...10) == "xé")
        #expect(try body.text("b", bytes: 1...10) == nil && body.uuid("b") == nil && body.money("b") == nil)
        let list = try #require(try body.objects("list", count: 1...2, names: names))
        #expect(list.count == 2)
        #expect(try list[0].integer("a", in: 1...7) == 7)
        #expect(try list[0].text("b", bytes: 1...1) == "y")
        #expect(try list[1].text("a", bytes: 1...1) == nil)
        #expect(try body.required("a", 1) == 1)
    }

    @Test(
        "refuses what is not JSON",
        arguments: [
            "", " ", "{", "{]", "{\"a\":1,}", "{} {}", "nonsense", "{\"a\":01}", "{'a':1}", "{\"a\":\"\\ud800\"}",
        ])
    func malformed(text: String) {
        let error = refusal { () throws(APIError) in try body(text) }
        #expect(error?.status == 400 && error?.code == .invalidRequest)
    }

    @Test("refuses what is not UTF-8, and what is nested too deeply")
    func unreadable() {
        for bytes in [[UInt8(ascii: "{"), 0xff, UInt8(ascii: "}")], Array("{\"a\":\"".utf8) + [0xc3]] {
            let error = refusal { () throws(APIError) in try RequestBody(request(bytes), names: names, limits: Limits())
            }
            #expect(error?.status == 400 && error?.detail.contains("UTF-8") == true)
        }
        let deep = "{\"a\":" + String(repeating: "[", count: 32) + String(repeating: "]", count: 32) + "}"
        #expect(refusal { () throws(APIError) in try body(deep) }?.status == 400)
    }

    @Test("refuses what is too large")
    func size() {
        var limits = Limits()
        limits.requestBodyBytes = 9
        for (text, status) in [("{\"a\":  1}", nil), ("{\"a\":   1}", 413)] as [(String, Int?)] {
            let error = refusal { () throws(APIError) in
                try RequestBody(request(Array(text.utf8)), names: names, limits: limits)
            }
            #expect(error?.status == status)
        }
    }

    @Test("refuses what is no object", arguments: ["[]", "1", "\"a\"", "null", "true"])
    func noObject(text: String) {
        let error = refusal { () throws(APIError) in try body(text) }
        #expect(error?.status == 422 && error?.detail == "The body has to be one JSON object.")
    }

    @Test(
        "takes application/json, or no type at all",
        arguments: [
            (["application/json"], true), ([], true), (["Application/JSON; charset=UTF-8"], true),
            (["application/json;charset=utf-8"], true), (["text/plain"], false), ([""], false),
            (["application/x-www-form-urlencoded"], false), (["application/jsonp"], false),
            (["application/json", "application/json"], false),
        ])
    func contentType(types: [String], isTaken: Bool) {
        var headers = HTTPHeaders()
        for type in types { headers.append("Content-Type", type) }
        let error = refusal { () throws(APIError) in
            try RequestBody(request(Array("{}".utf8), headers), names: names, limits: Limits())
        }
        #expect(error?.status == (isTaken ? nil : 415))
    }

    @Test("refuses a member that is there twice, by its path")
    func repeated() throws {
        #expect(
            refusal { () throws(APIError) in try body("{\"a\":1,\"b\":2,\"\\u0061\":null}") }?.detail
                == "a is given more than once; give it once.")
        let nested = try body("{\"list\":[{\"a\":1},{\"b\":1,\"b\":1}]}")
        #expect(
            refusal { () throws(APIError) in try nested.objects("list", count: 1...9, names: names) }?.detail
                == "list[1].b is given more than once; give it once.")
    }

    private enum Kind { case text, uuid, integer, money, array, object, objects }

    @Test("refuses a value that is not what it has to be, by name")
    func values() throws {
        let long = String(repeating: "x", count: 11)
        let rows: [(Kind, String, String?)] = [
            (.text, "\"\"", "a has to be a text of 1 to 10 bytes."),
            (.text, "\"\(long)\"", "a has to be a text of 1 to 10 bytes."),
            (.text, "\"éééééé\"", "a has to be a text of 1 to 10 bytes."), (.text, "\"ééééé\"", nil),
            (.text, "7", "a has to be a text of 1 to 10 bytes."),
            (.text, "{}", "a has to be a text of 1 to 10 bytes."),
            (.text, "\"x\\u0000\"", "a holds a NUL character, which cannot be kept."),
            (.text, "\"x\\\\u0000\"", nil),
            (.uuid, "\"x\"", "a is not a UUID; it looks like 123e4567-e89b-42d3-a456-426614174000."),
            (.uuid, "1", "a is not a UUID; it looks like 123e4567-e89b-42d3-a456-426614174000."),
            (.uuid, "\"123E4567-e89b-42d3-a456-426614174000\"", nil),
            (.integer, "0", "a has to be a whole number from 1 to 9."),
            (.integer, "10", "a has to be a whole number from 1 to 9."),
            (.integer, "-1", "a has to be a whole number from 1 to 9."),
            (.integer, "1.0", "a has to be a whole number from 1 to 9."),
            (.integer, "1e0", "a has to be a whole number from 1 to 9."),
            (.integer, "4294967297", "a has to be a whole number from 1 to 9."),
            (.integer, "99999999999999999999", "a has to be a whole number from 1 to 9."),
            (.integer, "\"1\"", "a has to be a whole number from 1 to 9."), (.integer, "1", nil), (.integer, "9", nil),
            (.money, "\"7.50\"", "a has to be a number, such as 7.50."),
            (.money, "true", "a has to be a number, such as 7.50."), (.money, "7.50", nil),
            (.money, "7.505", "a must not have more than two decimals."), (.money, "-7", "a must not be negative."),
            (.money, "1e9", "a must not be more than 99999999.99."),
            (.array, "{}", "a has to be an array."), (.array, "\"\"", "a has to be an array."), (.array, "[1]", nil),
            (.object, "[]", "a has to be an object."), (.object, "{}", nil),
            (.array, "[\"\(long)\(long)\(long)\(long)\(long)\"]", "a must not be larger than 50 bytes."),
            (.objects, "{}", "a has to be an array of 1 to 2 objects."),
            (.objects, "[]", "a has to be an array of 1 to 2 objects."),
            (.objects, "[{},{},{}]", "a has to be an array of 1 to 2 objects."),
            (.objects, "[{},7]", "a[1] has to be an object."), (.objects, "[{},null]", "a[1] has to be an object."),
            (.objects, "[{},{}]", nil),
        ]
        for (kind, value, expected) in rows {
            let body = try body("{\"a\":\(value)}")
            let error = refusal { () throws(APIError) in
                switch kind {
                case .text: _ = try body.text("a", bytes: 1...10)
                case .uuid: _ = try body.uuid("a")
                case .integer: _ = try body.integer("a", in: 1...9)
                case .money: _ = try body.money("a")
                case .array: _ = try body.json("a", .array, bytes: 50)
                case .object: _ = try body.json("a", .object, bytes: 50)
                case .objects: _ = try body.objects("a", count: 1...2, names: names)
                }
            }
            #expect(error?.detail == expected, "\(value)")
            #expect(error == nil || error?.status == 422 && error?.code == .invalidParameter, "\(value)")
        }
        #expect(refusal { () throws(APIError) in try body("{}").required("b", nil as Int?) }?.detail == "b is missing.")
    }

    @Test("passes on JSON as it was sent, unless a database could not keep it")
    func passedOn() throws {
        let rows: [(String, Bool)] = [
            ("[ {\"name\" : \"x\", \"price\":0.10}, \"\\u0001\", true,false , null,-1.5e-3, 1E+20]", true),
            ("[\"\\\\u0000\", \"\\\"\\\\\", \"1e99999\", \"0000\"]", true), ("[\"\\u0000\"]", false),
            ("[{\"\\u0000\":1}]", false), ("[\"\\\\\\u0000\"]", false), ("[\"a\\\"\\u0000\"]", false),
            ("[1e100]", false),
            ("[1e-100]", false), ("[1E+000]", false), ("[1e99]", true),
            ("[" + String(repeating: "1", count: 41) + "]", false),
            ("[-" + String(repeating: "1", count: 40) + "]", true),
            ("[0." + String(repeating: "1", count: 38) + ",\"" + String(repeating: "1", count: 99) + "\"]", true),
        ]
        for (json, isTaken) in rows {
            let body = try body("{\"a\":\(json)}")
            let error = refusal { () throws(APIError) in try body.json("a", .array, bytes: 1_000) }
            #expect((error == nil) == isTaken, "\(json)")
            if isTaken { #expect(try body.json("a", .array, bytes: 1_000) == Array(json.utf8)) }
        }
    }
}
