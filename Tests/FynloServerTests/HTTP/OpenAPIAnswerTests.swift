import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// Every answer that the document describes is brought about, and is as described.
@Suite("The answers that the OpenAPI document describes")
struct OpenAPIAnswerTests {
    /// Compares answers with the document, and keeps account of them.
    private final class Witness {
        let document: OpenAPIDocument
        var seen: Set<String> = []

        init() throws {
            document = try OpenAPIDocument(APIDocument.openAPI.bytes)
        }

        /// `status` is a description's: `default` is one too.
        func expect(
            _ operation: OpenAPIDocument.Operation, _ status: String, _ answer: HTTPResponse, _ what: Comment? = nil,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            let isOwn = operation.document["responses"][String(answer.status)] != .null
            #expect(
                status == (isOwn ? String(answer.status) : "default"), "\(operation.name) \(answer.status)",
                sourceLocation: sourceLocation)
            #expect(document.findings(answer, to: operation) == [], what, sourceLocation: sourceLocation)
            seen.insert("\(operation.id) \(status)")
        }

        /// Whatever the operation answers by itself: it has to be described as such.
        func observe(
            _ operation: OpenAPIDocument.Operation, _ answer: HTTPResponse, _ what: Comment? = nil,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            expect(operation, String(answer.status), answer, what, sourceLocation: sourceLocation)
        }

        func describes(_ operation: OpenAPIDocument.Operation, _ status: String) -> Bool {
            operation.document["responses"][status] != .null
        }

        var described: Set<String> {
            Set(
                document.operations.flatMap { operation in
                    operation.document["responses"].members.keys.map { "\(operation.id) \($0)" }
                })
        }
    }

    @Test("come, all of them, with the fields and bodies they are said to have")
    func all() throws {
        let witness = try Witness()
        let operations = witness.document.operations.filter { $0.id != "openWebSocket" }
        let server = try TestServer()
        let client = try OpenAPIClient(on: server)
        for operation in operations {
            try successes(of: operation, client, witness)
            try refusals(of: operation, client, witness)
            try bodyRefusals(of: operation, client, witness)
            try conflicts(of: operation, client, witness)
            try otherMethod(of: operation, client, witness)
        }
        try failures(of: operations, witness)
        try upgrades(witness)
        #expect(witness.described.subtracting(witness.seen) == [], "nothing is described that does not come")
    }

    private func successes(
        of operation: OpenAPIDocument.Operation, _ client: OpenAPIClient, _ witness: Witness
    ) throws {
        let status = ["200", "201", "202", "204"].first { witness.describes(operation, $0) } ?? ""
        let answer = try client.send(operation)
        witness.expect(operation, status, answer)
        // From a cache, where there is one.
        witness.expect(operation, status, try client.send(operation, headers: ["X-Request-ID": "a.b-c_1"]))
        // A copy at hand counts where there are ETags.
        let tag = answer.headers.first("etag") ?? "*"
        witness.observe(operation, try client.send(operation, headers: ["If-None-Match": tag]))
        witness.observe(operation, try client.send(operation, headers: ["Accept": "text/plain"]), "for people")
    }

    private func refusals(
        of operation: OpenAPIDocument.Operation, _ client: OpenAPIClient, _ witness: Witness
    ) throws {
        let hasOrder = operation.path.contains("{order_id}")
        if hasOrder { witness.expect(operation, "400", try client.send(operation, order: "7")) }
        witness.observe(operation, try client.send(operation, token: .some(nil)), "no token")
        witness.observe(operation, try client.send(operation, token: "nonsense"), "a bad token")
        let employee = try client.server.database.addUser(.employee, at: client.orders.restaurant)
        witness.observe(operation, try client.send(operation, token: employee.token()), "an employee")
        witness.observe(operation, try client.send(operation, headers: ["X-Forwarded-For": "10.0.0.9"]), "a proxy")
        if operation.path.contains("{connection_id}") {
            witness.expect(operation, "400", try client.send(operation, connection: "7"))
            let nobody = TestDatabase.randomUUID().description
            witness.expect(operation, "404", try client.send(operation, connection: nobody))
        }
        if operation.path.contains("{asset}") {
            witness.expect(operation, "404", try client.send(operation, asset: "console.000000000000.js"))
        }
        let foreign = try client.server.database.addRestaurant()
        witness.observe(operation, try client.send(operation, restaurant: foreign), "a foreign restaurant")
        if hasOrder {
            let nowhere = TestDatabase.randomUUID().description
            witness.expect(operation, "404", try client.send(operation, order: nowhere))
        }
        witness.observe(operation, try client.send(operation, query: ["after": "999999"]), "events to come")
        if !operation.parameters(in: "query").isEmpty {
            witness.expect(operation, "422", try client.send(operation, query: ["restaurant_id": "7"]))
        }
    }

    private func bodyRefusals(
        of operation: OpenAPIDocument.Operation, _ client: OpenAPIClient, _ witness: Witness
    ) throws {
        guard operation.body != nil else { return }
        let deep =
            String(repeating: "[", count: JSON.maximumDepth) + String(repeating: "]", count: JSON.maximumDepth)
        for body in ["", "{", "{\"a\":\(deep)}"] {
            witness.expect(operation, "400", try client.send(operation, body: body))
        }
        for body in ["{}", "[]"] { witness.expect(operation, "422", try client.send(operation, body: body)) }
        let large = "{\"x\":\"" + String(repeating: "x", count: Limits().requestBodyBytes) + "\"}"
        witness.expect(operation, "413", try client.send(operation, body: large))
        witness.expect(operation, "415", try client.send(operation, headers: ["Content-Type": "text/plain"]))
    }

    private func conflicts(
        of operation: OpenAPIDocument.Operation, _ client: OpenAPIClient, _ witness: Witness
    ) throws {
        guard operation.body != nil else { return }
        let other = try witness.document.operation(
            operation.id == "postNotification" ? "createOrder" : "postNotification")
        let key: HTTPHeaders = ["Idempotency-Key": "used for \(other.id) before \(operation.id)"]
        #expect(try client.send(other, headers: key).status < 300)
        witness.expect(operation, "409", try client.send(operation, headers: key))
        guard operation.id == "updateOrderStatus" else { return }
        let conflict = "{\"status\":\"ready\",\"expected_version\":999}"
        witness.expect(operation, "409", try client.send(operation, body: conflict))
        let done = try client.orders.created()
        for (status, expected) in [("completed", "200"), ("ready", "409")] {
            let answer = try client.send(operation, order: done.description, body: "{\"status\":\"\(status)\"}")
            witness.expect(operation, expected, answer)
        }
        // The events of all this are as described too.
        let notification = try witness.document.operation("postNotification")
        #expect(try client.send(notification).status == 202)
        try client.server.database.run("delete from orders where id = '\(done)'")
        let events = try witness.document.operation("getEvents")
        let answer = try client.send(events, query: ["limit": "1000"])
        witness.expect(events, "200", answer)
        let types = Set(try Document(answer.body).elements.compactMap { $0["type"].string })
        #expect(
            types.isSuperset(of: ["order.created", "order.status_changed", "order.deleted", "system.notification"]))
    }

    /// 405 is every path's, with the methods that are described.
    private func otherMethod(
        of operation: OpenAPIDocument.Operation, _ client: OpenAPIClient, _ witness: Witness
    ) throws {
        let path = operation.path.replacing("{order_id}", with: client.order.description)
            .replacing("{connection_id}", with: client.order.description).replacing("{asset}", with: "x")
        let answer = try client.server.request(operation.method == "head" ? .delete : .put, path)
        // The body of this one is not left out, as HEAD's would be.
        let methods = witness.document.operations.filter { $0.path == operation.path }
        let any = try #require(methods.first { $0.method != "head" })
        witness.expect(any, "default", answer)
        witness.seen.insert("\(operation.id) default")
        #expect(answer.status == 405)
        let allowed = Set(answer.headers.first("allow")?.split(separator: ", ").map { $0.lowercased() } ?? [])
        #expect(allowed == Set(methods.map(\.method)), "\(operation.path)")
    }

    // MARK: What is not the client's fault

    private func failures(of operations: [OpenAPIDocument.Operation], _ witness: Witness) throws {
        // Made while all is well.
        let client = try OpenAPIClient(on: try TestServer())
        let database = client.server.database
        let away = try TestServer(["DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"])
        for operation in operations {
            let answer = try OpenAPIClient(client, on: away).send(operation)
            witness.observe(operation, answer, "the database is away")
        }
        let slow = try TestServer(["FYNLO_QUERY_TIMEOUT": "200ms"], database: database)
        let lock = try RowLock("lock table users in access exclusive mode", in: database)
        for operation in operations {
            let answer = try OpenAPIClient(client, on: slow).send(operation)
            witness.observe(operation, answer, "a table is locked")
        }
        lock.release()
        try database.run("alter function fynlo_access(text, uuid) rename to elsewhere")
        let broken = try TestServer(database: database)
        for operation in operations {
            let answer = try OpenAPIClient(client, on: broken).send(operation)
            witness.observe(operation, answer, "a function is missing")
        }
    }

    @Test("cover what any request may meet before it is looked into")
    func beforehand() throws {
        let witness = try Witness()
        let live = try witness.document.operation("getLiveness")
        let server = try TestServer(["FYNLO_ECHO": "1", "FYNLO_MAX_BODY": "2000"])
        var statuses: Set<Int> = [405]
        for row in HTTPErrorTests.malformed {
            let answer = try server.answer(toRaw: row.text)
            witness.expect(live, "default", answer, "\(row.name)")
            statuses.insert(answer.status)
        }
        let hasty = try TestServer { $0.http.headTimeout = .milliseconds(200) }
        let late = try hasty.answer(toRaw: "GET /health/live HTTP/1.1\r\n")
        witness.expect(live, "default", late)
        statuses.insert(late.status)
        for (variable, status) in [("FYNLO_MAX_CONNECTIONS_PER_IP", 429), ("FYNLO_MAX_CONNECTIONS", 503)] {
            let narrow = try TestServer([variable: "1", "FYNLO_MAX_UNAUTHENTICATED": "1"])
            let first = try TestExchange(loop: narrow.loop, address: narrow.address)
            first.send(.get, "/health/live")
            try narrow.wait(for: "the first answer") { first.responses.count == 1 }
            let second = try narrow.request(.get, "/health/live")
            #expect(second.status == status)
            witness.expect(live, "default", second)
            statuses.insert(second.status)
            first.close()
        }
        let described = witness.document.root["components"]["responses"]["Refused"]["content"]
        let schema = described["application/problem+json"]["schema"]["properties"]["status"]
        #expect(Set(schema["enum"].elements.compactMap(\.integer)) == statuses)
    }

    // MARK: The upgrade

    private func upgrades(_ witness: Witness) throws {
        let operation = try witness.document.operation("openWebSocket")
        let server = try TestServer(["FYNLO_MAX_UNAUTHENTICATED": "2", "FYNLO_ALLOW_QUERY_TOKEN": "1"])
        let restaurant = try server.database.addRestaurant()
        let path = "/api/v1/websocket/ws/pos/\(restaurant)"
        let handshake: HTTPHeaders = [
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "fynlo.v1",
        ]
        for parameter in operation.parameters(in: "header") where handshake.count(parameter["name"].string ?? "") > 0 {
            let value = handshake.first(parameter["name"].string ?? "") ?? ""
            #expect(witness.document.schemas.findings(.string(value), parameter["schema"]) == [])
        }
        func without(_ name: String, adding value: String? = nil) -> HTTPHeaders {
            var headers = handshake
            headers.remove(name)
            if let value { headers.append(name, value) }
            return headers
        }
        let rows: [(String, String, HTTPHeaders)] = [
            ("400", "/api/v1/websocket/ws/pos/7", handshake), ("400", path, without("Sec-WebSocket-Key")),
            ("403", path, without("Origin", adding: "https://evil.example")),
            ("404", path.replacing("/pos/", with: "/bar/"), handshake),
            ("422", path + "?token=a&token=b", handshake), ("422", path + "?token=%ff", handshake),
            ("426", path, without("Upgrade")), ("426", path, without("Sec-WebSocket-Version", adding: "8")),
            ("101", path, handshake), ("101", path, without("Sec-WebSocket-Protocol")),
        ]
        for (status, target, headers) in rows {
            witness.expect(operation, status, try server.request(.get, target, headers: headers), "\(target)")
        }
        let waiting = try (0..<2).map { _ in try server.tablet(at: restaurant) }
        try server.wait(for: "two that wait") { waiting.allSatisfy(\.isUpgraded) }
        witness.expect(operation, "503", try server.request(.get, path, headers: handshake))
        let put = try server.request(.put, path)
        witness.expect(operation, "default", put)
        #expect(put.status == 405 && put.headers.first("allow") == "GET")
    }
}
