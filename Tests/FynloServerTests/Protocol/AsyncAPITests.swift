import Foundation
import FynloCore
import Testing

@testable import FynloServer

/// api/asyncapi.json and docs/protocol.md describe the WebSocket by hand; these tests compare both with the program.
@Suite("The description of the WebSocket")
struct AsyncAPITests {
    private let document: AsyncAPIDocument
    private let page: ProtocolPage

    init() throws {
        document = try AsyncAPIDocument()
        page = try ProtocolPage()
    }

    private static let transient = TransientEventType.allCases.map(\.name.description)
    private static let durable = DurableEventType.allCases.map(\.rawValue)
    private static let fromServer = ServerMessageType.allCases.map(\.name.description) + durable + transient
    private static let fromTablet = ClientMessageType.allCases.map(\.name.description) + transient

    // MARK: Types

    @Test("has every type that the server sends or takes, and no other")
    func types() {
        #expect(document.types(from: "server") == Set(AsyncAPITests.fromServer))
        #expect(document.types(from: "tablet") == Set(AsyncAPITests.fromTablet))
        #expect(document.messages.count == AsyncAPITests.fromServer.count + AsyncAPITests.fromTablet.count)
        for (key, message) in document.messages {
            let type = message["name"].string ?? ""
            #expect(key.hasSuffix("." + type))
            #expect(message["payload"]["properties"]["type"]["const"].string == type)
        }
    }

    @Test("knows the events that the database writes")
    func eventsOfTheDatabase() {
        var written: Set<String> = []
        for file in EmbeddedFiles.all where file.name.hasSuffix(".up.sql") {
            written.formUnion(file.text.matches(of: /'((?:order|menu|system)\.[a-z_]+)'/).map { String($0.output.1) })
        }
        // Names of commands, under which their answers are remembered.
        let commands: Set = ["order.status_update", "order.create"]
        #expect(commands.isSubset(of: written))
        #expect(written.subtracting(commands) == Set(AsyncAPITests.durable))
    }

    @Test("the page names every type, and has an example of each but the transient ones, which are all alike")
    func pageHasTypes() {
        let named = Set(ProtocolPage.quoted(page.text))
        for type in AsyncAPITests.fromServer + AsyncAPITests.fromTablet { #expect(named.contains(type), "\(type)") }
        let transient = Set(AsyncAPITests.transient)
        for (sender, types) in [("server", AsyncAPITests.fromServer), ("tablet", AsyncAPITests.fromTablet)] {
            let examples = page.examples(from: sender)
            #expect(examples.isSuperset(of: Set(types).subtracting(transient)), "\(sender)")
            #expect(!examples.isDisjoint(with: transient), "\(sender)")
            #expect(examples.isSubset(of: types), "\(sender)")
        }
    }

    // MARK: The server's messages

    private static let user = UserID(UUID128(high: 0xaaaa_aaaa_aaaa_4aaa, low: 0x8aaa_aaaa_aaaa_aaaa))
    private static let restaurant = RestaurantID(UUID128(high: 0x1111_1111_1111_4111, low: 0x8111_1111_1111_1111))
    private static let time = UnixTime(milliseconds: 1_769_882_645_123)

    /// Messages of a type, with and without their optional members.
    private func samples(_ type: ServerMessageType) -> [ServerMessage] {
        switch type {
        case .authenticated:
            Role.allCases.map { role in
                .authenticated(
                    Authenticated(
                        user: AsyncAPITests.user, restaurant: AsyncAPITests.restaurant,
                        connection: AsyncAPITests.user.uuid, role: role, sequence: 0, heartbeatInterval: .seconds(15),
                        tokenExpiresAt: AsyncAPITests.time, isResumed: role == .employee))
            }
        case .authenticationError:
            AuthenticationFailure.allCases.map {
                .authenticationError($0, retryAfter: $0 == .connectionLimit ? .seconds(5) : nil)
            }
        case .ping: [.ping]
        case .pong: []  // Written by itself; those of the tests are compared by scripts/test.
        case .tokenExpired: [.tokenExpiring(seconds: 0), .tokenExpiring(seconds: 300)]
        case .acknowledgement:
            [.acknowledgement(id: "c", sequence: 1), .acknowledgement(id: "\u{1f372}", sequence: nil)]
        case .error:
            APIError.Code.allCases.compactMap(AsyncAPITests.sample).flatMap {
                [ServerMessage.error($0, id: nil), .error($0, id: "c")]
            }
        case .resyncRequired: [.resyncRequired(head: 0)]
        case .reconnect: [.reconnect(retryAfter: .milliseconds(250))]
        }
    }

    /// The error of a code that is told over the WebSocket; `nil` for those that only HTTP has.
    private static func sample(_ code: APIError.Code) -> APIError? {
        switch code {
        case .invalidMessage, .unknownType, .orderNotFound, .idReused, .internalError: APIError(code, "So it is.")
        case .invalidTransition, .versionConflict: APIError(code, "So it is.", order: Array(order.utf8))
        case .rateLimited, .unavailable: APIError(code, "So it is.", retryAfter: .milliseconds(50))
        case .invalidRequest, .invalidParameter, .authenticationRequired, .invalidToken, .accessDenied,
            .permissionDenied, .originRefused, .notFound, .methodNotAllowed, .upgradeRequired, .connectionNotFound,
            .resyncRequired, .connectionLimit, .queryTimeout:
            nil
        }
    }

    private static let order = """
        {"id":"\(user)","restaurant_id":"\(restaurant)","order_number":"ORD-1","table_number":null,"customer_name":null,\
        "order_type":"dine_in","status":"served","payment_status":"pending","subtotal":0,"tax_amount":0,\
        "service_charge":0,"discount_amount":0,"tip_amount":0,"total_amount":0,"notes":null,"created_by":null,\
        "version":1,"created_at":"2026-01-31T18:04:05.123Z","updated_at":"2026-01-31T18:04:05.123Z",\
        "completed_at":null,"items":[]}
        """

    @Test("holds for what the server writes", arguments: ServerMessageType.allCases)
    func written(type: ServerMessageType) throws {
        for message in samples(type) {
            var output = ByteBuffer()
            MessageEncoder.append(
                message, id: .direct(ConnectionID(node: 1, number: 2), number: 3), restaurant: AsyncAPITests.restaurant,
                at: AsyncAPITests.time, to: &output)
            let written = try Document(output.bytes())
            #expect(written["type"].string == type.name.description)
            #expect(document.findings(written) == [])
            // Nothing besides, and nothing less.
            var members = written.members
            members["more"] = .null
            #expect(document.findings(.object(members)) != [])
            members = written.members
            members["timestamp"] = nil
            #expect(document.findings(.object(members)) != [])
        }
    }

    // MARK: The tablets' messages

    /// The type of a message that was read; `nil` when something it needs was missing.
    private func type(of message: ClientMessage) -> String? {
        switch message {
        case .authenticate(let request): request.map { _ in ClientMessageType.authenticate.name.description }
        case .reauthenticate(let token): token.map { _ in ClientMessageType.reauthenticate.name.description }
        case .ping: ClientMessageType.ping.name.description
        case .pong: ClientMessageType.pong.name.description
        case .orderStatusUpdate: ClientMessageType.orderStatusUpdate.name.description
        case .transient(let event, _): event.name.description
        }
    }

    @Test("the server understands the examples of tablets' messages")
    func understood() throws {
        let decoder = MessageDecoder(Limits())
        for (key, message) in document.messages where key.hasPrefix("tablet.") {
            #expect(!message["examples"].elements.isEmpty, "\(key)")
            for example in message["examples"].elements {
                #expect(document.schemas.findings(example["payload"], message["payload"]) == [], "\(key)")
                let text = Array(example["payload"].json.utf8)
                let envelope = try decoder.decode(text.span)
                #expect(type(of: try envelope.message.get()) == message["name"].string, "\(key)")
            }
        }
    }

    // MARK: Codes

    @Test("has the error codes that are told over the WebSocket")
    func errorCodes() {
        let told = APIError.Code.allCases.filter { AsyncAPITests.sample($0) != nil }.map(\.rawValue)
        let data = document.messages["server.error"]?["payload"]["properties"]["data"] ?? .null
        let described = data["anyOf"].elements.flatMap {
            $0["properties"]["code"]["enum"].elements.compactMap(\.string)
        }
        #expect(described.sorted() == told.sorted())
        let rows = page.table("| `data.code` | why | what to do |")
        #expect(rows.flatMap { ProtocolPage.quoted($0[0]) }.sorted() == told.sorted())
    }

    @Test("has the refusals of authentications, in the order of their checks")
    func authenticationFailures() {
        let data = document.messages["server.auth_error"]?["payload"]["properties"]["data"] ?? .null
        let described = data["anyOf"].elements.map { $0["properties"] }
        let rows = page.table("| check | `data.error` | `data.code` | close |")
        #expect(described.count == AuthenticationFailure.allCases.count)
        #expect(rows.count == AuthenticationFailure.allCases.count)
        for (failure, (properties, row)) in zip(AuthenticationFailure.allCases, zip(described, rows)) {
            #expect(properties["error"]["const"].string == failure.sentence)
            #expect(properties["code"]["const"].string == failure.code.description)
            #expect(properties["retryable"]["const"].boolean == failure.isRetryable)
            let mark = failure.isRetryable ? " (retryable)" : ""
            #expect(row[1...] == ["`\(failure.sentence)`", "`\(failure.code)`\(mark)", "\(failure.closeReason.code)"])
        }
    }

    @Test("has the close codes and their reasons")
    func closeCodes() {
        var reasons = Dictionary(
            uniqueKeysWithValues: CloseReason.allCases.map { ($0.code, $0.sentence.description as String?) })
        for code in WebSocketError.closeCodes { reasons[code] = .some(nil) }

        var described: [UInt16: String?] = [:]
        for close in document.root["channels"]["tablet"]["x-close-codes"].elements {
            described[close["code"].integer.flatMap { UInt16(exactly: $0) } ?? 0] = .some(close["reason"].string)
        }
        #expect(described == reasons)

        var listed: [UInt16: String?] = [:]
        for row in page.table("| code | reason | meaning | connect again? |") {
            listed[UInt16(row[0]) ?? 0] = .some(ProtocolPage.quoted(row[1]).first)
        }
        #expect(listed == reasons)
    }

    // MARK: Numbers and names

    @Test("has the limits that are in force")
    func limits() {
        let limits = Limits()
        let rate = "\(limits.messagesPerSecond), with bursts of \(limits.messageBurst)"
        let rows = page.table("| what | limit | beyond it |").map { $0[1] }
        let expected = [
            "\(grouped(limits.unauthenticatedMessageBytes)) bytes", "\(grouped(limits.messageBytes)) bytes",
            "\(JSON.maximumDepth) levels", "\(grouped(limits.transientDataBytes)) bytes",
            "\(limits.commandIDBytes) bytes", rate,
            "\(limits.rateRefusals) within \(limits.rateRefusalWindow.components.seconds) seconds",
            "\(limits.waitingCommands), and 262,144 bytes of transient events among them",
            grouped(limits.replayedEvents), grouped(limits.sendQueueBytes), "\(limits.connectionsPerRestaurant)",
            "\(limits.connectionsPerUser)",
        ]
        #expect(rows == expected)
        let summary = document.root["info"]["description"].string ?? ""
        for phrase in [
            "\(limits.messageBytes >> 10) KiB per message", "\(limits.unauthenticatedMessageBytes >> 10) KiB before",
            "\(JSON.maximumDepth) levels",
            "\(limits.messagesPerSecond) messages per second with bursts of \(limits.messageBurst)",
            "\(limits.waitingCommands) waiting commands",
        ] {
            #expect(summary.contains(phrase), "\(phrase)")
        }
        let schemas = document.root["components"]["schemas"]
        #expect(schemas["CommandID"]["maxLength"].integer == limits.commandIDBytes)
        #expect(schemas["FreeText"]["maxLength"].integer == limits.freeTextBytes)
        #expect(schemas["Token"]["maxLength"].integer == AccessToken.maximumBytes)
    }

    /// As people write it: `65,536`.
    private func grouped(_ number: Int) -> String {
        number < 1_000
            ? "\(number)" : "\(grouped(number / 1_000)),\(String(number % 1_000 + 1_000).dropFirst())"
    }

    @Test("has this program's client types, roles and statuses, and leaves room for its version")
    func vocabulary() {
        func names(_ schema: Document) -> [String] { schema["enum"].elements.compactMap(\.string) }
        #expect(document.root["asyncapi"].string == "3.0.0")
        #expect(document.root["info"]["version"].string == "$VERSION")
        let channel = document.root["channels"]["tablet"]
        #expect(channel["address"].string == "/api/v1/websocket/ws/{client_type}/{restaurant_id}")
        #expect(names(channel["parameters"]["client_type"]) == ClientType.allCases.map(\.rawValue))
        #expect(names(document.root["components"]["schemas"]["OrderStatus"]) == OrderStatus.allCases.map(\.rawValue))
        let data = document.messages["server.authenticated"]?["payload"]["properties"]["data"] ?? .null
        #expect(names(data["properties"]["role"]) == Role.allCases.map(\.rawValue))
    }

    // MARK: The text itself

    /// Every value in a document.
    private func walk(_ document: Document, _ visit: (Document) -> Void) {
        visit(document)
        for value in document.members.values { walk(value, visit) }
        for value in document.elements { walk(value, visit) }
    }

    @Test("refers to what is there, has nothing that is not referred to, and puts each message into an operation")
    func references() {
        var references: Set<String> = []
        walk(document.root) { if let reference = $0["$ref"].string { references.insert(reference) } }
        for reference in references {
            // The keys of messages have full stops in them, never slashes.
            #expect(document.schemas.target(reference) != .null, "\(reference)")
        }
        for (kind, components) in document.root["components"].members {
            for name in components.members.keys {
                #expect(references.contains("#/components/\(kind)/\(name)"), "\(kind) \(name)")
            }
        }
        #expect(Set(document.root["channels"]["tablet"]["messages"].members.keys) == Set(document.messages.keys))
        var carried: [String] = []
        for (name, operation) in document.root["operations"].members {
            let sender = operation["action"].string == "receive" ? "tablet" : "server"
            let answerer = sender == "tablet" ? "server" : "tablet"
            for (messages, prefix) in [(operation["messages"], sender), (operation["reply"]["messages"], answerer)] {
                for reference in messages.elements.compactMap({ $0["$ref"].string }) {
                    let key = String(reference.split(separator: "/").last ?? "")
                    #expect(key.hasPrefix(prefix + "."), "\(name): \(key)")
                    carried.append(key)
                }
            }
        }
        #expect(Set(carried) == Set(document.messages.keys))
    }
}
