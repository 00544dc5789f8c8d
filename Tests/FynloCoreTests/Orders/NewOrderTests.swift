import FynloCore
import Testing

private func order(_ members: String, limits: Limits = Limits()) throws(APIError) -> NewOrder {
    let body = "{\"restaurant_id\":\"\(Sample.restaurant)\"\(members.isEmpty ? "" : "," + members)}"
    return try NewOrder(HTTPRequest(method: .post, path: "/", body: Array(body.utf8)), limits: limits)
}

private func items(_ members: String...) -> String {
    let items = members.map {
        "{\"product_name\":\"Taco\",\"quantity\":1,\"unit_price\":1\($0.isEmpty ? "" : ",")\($0)}"
    }
    return "\"items\":[\(items.joined(separator: ","))]"
}

private func item(_ price: String, _ quantity: Int = 1) -> String {
    "{\"product_name\":\"Taco\",\"quantity\":\(quantity),\"unit_price\":\(price)}"
}

private func refusal(_ members: String, limits: Limits = Limits()) -> APIError? {
    do throws(APIError) {
        _ = try order(members, limits: limits)
        return nil
    } catch {
        return error
    }
}

@Suite("New orders")
struct NewOrderTests {
    @Test("have totals that are exact to the cent")
    func totals() throws {
        let rows: [(items: [String], amounts: String, subtotal: Int64, total: Int64)] = [
            ([item("0.10", 3)], "", 30, 30),
            ([item("0.1"), item("0.2")], "", 30, 30),
            ([item("19.99", 3), item("4.35", 100)], "", 49_497, 49_497),
            (
                [item("10")], ",\"tax_amount\":1.05,\"service_charge\":0.5,\"tip_amount\":2,\"discount_amount\":3.33",
                1_000, 1_022
            ),
            ([item("10")], ",\"discount_amount\":10", 1_000, 0),
            ([item("10")], ",\"discount_amount\":10.01", 1_000, 0),
            ([item("0")], ",\"tax_amount\":null", 0, 0),
            ([item("99999999.99")], "", 9_999_999_999, 9_999_999_999),
            ([item("99999999.99")], ",\"tip_amount\":0.01,\"discount_amount\":0.01", 9_999_999_999, 9_999_999_999),
            (Array(repeating: item("0.01", 99_999), count: 200), "", 19_999_800, 19_999_800),
        ]
        for row in rows {
            let order = try order("\"items\":[\(row.items.joined(separator: ","))]\(row.amounts)")
            #expect(order.subtotal.cents == row.subtotal, "\(row)")
            #expect(order.totalAmount.cents == row.total, "\(row)")
        }
        #expect(try order("\"items\":[\(item("19.99", 3))]").items[0].totalPrice.cents == 5_997)
    }

    @Test("have all that was sent, and defaults for the rest")
    func content() throws {
        let plain = try order(items(""))
        #expect(plain.restaurant == Sample.restaurant && plain.orderType == "dine_in")
        #expect(plain.tableNumber == nil && plain.customerName == nil && plain.notes == nil)
        #expect(plain.items[0].product == nil && plain.items[0].modifiers == Array("[]".utf8))
        let full = try order(
            """
            "table_number":"12","customer_name":"Zoë","order_type":"takeaway","notes":"<quick>",
            \(items("\"product_id\":\"\(Sample.order)\",\"modifiers\":[{\"name\":\"cheese\"}],\"special_instructions\":\"no salt\""))
            """)
        #expect(full.tableNumber == "12" && full.customerName == "Zoë" && full.orderType == "takeaway")
        let written = try #require(JSONTree(Array(full.json.utf8)))
        #expect(written["notes"]?.text == "<quick>")
        #expect(full.json.contains("\"modifiers\":[{\"name\":\"cheese\"}],\"special_instructions\":\"no salt\""))
        #expect(full.json.contains("\"product_id\":\"\(Sample.order)\""))
        #expect(full.json.contains("\"subtotal\":1.00,\"tax_amount\":0.00"))
    }

    @Test(
        "are refused by the path of what is wrong",
        arguments: [
            ("", "items is missing."), ("\"items\":[]", "items has to be an array of 1 to 200 objects."),
            ("\"items\":[{}]", "items[0].product_name is missing."),
            ("\"items\":[{\"product_name\":\"x\"}]", "items[0].quantity is missing."),
            ("\"items\":[{\"product_name\":\"x\",\"quantity\":1}]", "items[0].unit_price is missing."),
            ("\"items\":[\(item("1")),\(item("1", 0))]", "items[1].quantity has to be a whole number from 1 to 99999."),
            (
                "\"items\":[\(item("1")),\(item("1", -2))]",
                "items[1].quantity has to be a whole number from 1 to 99999."
            ),
            ("\"items\":[\(item("1.999"))]", "items[0].unit_price must not have more than two decimals."),
            ("\"items\":[\(item("-1"))]", "items[0].unit_price must not be negative."),
            (
                "\"items\":[\(item("50000000", 2))]",
                "items[0].unit_price times quantity must not be more than 99999999.99."
            ),
            (
                "\"items\":[\(item("50000000")),\(item("50000000"))]",
                "items must not cost more than 99999999.99 together."
            ),
            (
                "\"items\":[\(item("99999999"))],\"tax_amount\":1",
                "The order must not cost more than 99999999.99 in all."
            ),
            (items("") + ",\"discount_amount\":-1", "discount_amount must not be negative."),
            (items("") + ",\"tip_amount\":\"1\"", "tip_amount has to be a number, such as 7.50."),
            (items("") + ",\"table_number\":12", "table_number has to be a text of at most 64 bytes."),
            (items("") + ",\"order_type\":\"\"", "order_type has to be a text of 1 to 64 bytes."),
            (items("") + ",\"notes\":\"\\u0000\"", "notes holds a NUL character, which cannot be kept."),
            (items("\"modifiers\":{}"), "items[0].modifiers has to be an array."),
            (
                items("", "\"product_id\":\"7\""),
                "items[1].product_id is not a UUID; it looks like 123e4567-e89b-42d3-a456-426614174000."
            ),
        ])
    func refusals(members: String, sentence: String) {
        let error = refusal(members)
        #expect(error?.detail == sentence)
        #expect(error?.status == 422 && error?.code == .invalidParameter)
    }

    @Test("have limits, just within and just beyond")
    func limits() throws {
        let limits = Limits()
        func many(_ count: Int) -> String {
            "\"items\":[\(Array(repeating: item("1"), count: count).joined(separator: ","))]"
        }
        #expect(try order(many(limits.orderItems)).items.count == limits.orderItems)
        #expect(refusal(many(limits.orderItems + 1)) != nil)
        for (name, bytes) in [("notes", limits.noteBytes), ("customer_name", limits.nameBytes)] {
            for (count, isTaken) in [(bytes, true), (bytes + 1, false)] {
                let text = String(repeating: "x", count: count)
                #expect((refusal(items("") + ",\"\(name)\":\"\(text)\"") == nil) == isTaken)
            }
        }
        #expect(refusal(items("\"quantity\":1")) != nil, "twice")
    }
}

@Suite("Other bodies of the REST API")
struct RequestBodiesTests {
    private func request(_ body: String) -> HTTPRequest {
        HTTPRequest(method: .post, path: "/", body: Array(body.utf8))
    }

    @Test("a status with or without a version")
    func status() throws {
        let update = try OrderStatusUpdate(request("{\"status\":\"ready\"}"), order: Sample.order, limits: Limits())
        #expect(update == OrderStatusUpdate(order: Sample.order, status: .ready, expectedVersion: nil))
        let versioned = try OrderStatusUpdate(
            request("{\"expected_version\":3,\"status\":\"cancelled\"}"), order: Sample.order, limits: Limits())
        #expect(versioned.expectedVersion == 3)
        for (body, sentence) in [
            ("{}", "status is missing."), ("{\"status\":null}", "status is missing."),
            ("{\"status\":\"done\"}", "status is unknown; it is one of \(OrderStatus.names)."),
            ("{\"status\":1}", "status has to be a text of 1 to 64 bytes."),
            (
                "{\"status\":\"ready\",\"expected_version\":0}",
                "expected_version has to be a whole number from 1 to 2147483647."
            ),
        ] {
            let error = #expect(throws: APIError.self) {
                try OrderStatusUpdate(request(body), order: Sample.order, limits: Limits())
            }
            #expect(error?.detail == sentence)
        }
    }

    @Test("a notification with or without data")
    func notification() throws {
        let head = "\"restaurant_id\":\"\(Sample.restaurant)\",\"title\":\"Fire <drill>\",\"message\":\"At \\\"5\\\"\""
        let plain = try Notification(request("{\(head)}"), limits: Limits())
        #expect(plain.restaurant == Sample.restaurant && plain.data == Array("{}".utf8))
        let full = try Notification(request("{\(head),\"data\":{\"room\": 5}}"), limits: Limits())
        let written = try #require(JSONTree(Array(full.json.utf8)))
        #expect(written.names == ["data", "message", "title"])
        #expect(written["title"]?.text == "Fire <drill>" && written["message"]?.text == "At \"5\"")
        #expect(full.json.hasSuffix("\"data\":{\"room\": 5}}"))
        for (body, name) in [
            ("{}", "restaurant_id"), ("{\"restaurant_id\":\"\(Sample.restaurant)\"}", "title"),
            ("{\"restaurant_id\":\"\(Sample.restaurant)\",\"title\":\"x\"}", "message"),
            ("{\(head),\"data\":[]}", "data"),
            ("{\(head),\"data\":{\"a\":\"\\u0000\"}}", "data"),
        ] {
            let error = #expect(throws: APIError.self) { try Notification(request(body), limits: Limits()) }
            #expect(error?.status == 422 && error?.detail.hasPrefix(name + " ") == true, "\(body)")
        }
    }
}
