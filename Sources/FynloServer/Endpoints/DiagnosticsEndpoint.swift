// How the tablets are doing, for those who manage them, and the way to end one of their connections. Other nodes are asked
// for their part.

import FynloCore
import FynloIO

/// Answers `GET /api/v1/websocket/diagnostics` and `DELETE /api/v1/websocket/connections/{id}`.
final class DiagnosticsEndpoint {
    private let loop: EventLoop
    private let hub: Hub
    private let feeds: FeedHandler
    private let authorizer: RequestAuthorizer
    private let nodes: NodeHandler
    private let cache: MenuCache
    private let activity: ActivityRecorder
    private let log: Logger
    private let started: Instant

    /// How many connections are listed; the report covers all of them.
    private static let connections = 500
    /// This many short connections in a row are a loop.
    private static let loop = 3

    /// How much of one node is listed. What another node asked for has to fit into one message.
    private struct Extent {
        let restaurants: Int
        let connections: Int

        static let own = Extent(restaurants: .max, connections: DiagnosticsEndpoint.connections)
        /// The first that fits into `messageBytes`.
        static let others = [Extent(restaurants: 1_000, connections: 150), Extent(restaurants: 500, connections: 25)]
        static let messageBytes = 256 << 10
    }

    init(
        loop: EventLoop, hub: Hub, feeds: FeedHandler, authorizer: RequestAuthorizer, nodes: NodeHandler,
        cache: MenuCache, activity: ActivityRecorder, log: Logger
    ) {
        self.loop = loop
        self.hub = hub
        self.feeds = feeds
        self.authorizer = authorizer
        self.nodes = nodes
        self.cache = cache
        self.activity = activity
        self.log = log
        started = loop.now.instant
    }

    // MARK: Closing

    /// Closes a tablet's connection with 4006. A connection that does not exist and one of a restaurant that the user may not act
    /// for get the same refusal.
    func close(_ id: UUID128, _ request: HTTPRequest, reply: @escaping Reply) {
        if let connection = ConnectionID(uuid: id), nodes.isElsewhere(connection) {
            return close(connection, request, reply: reply)
        }
        let number = ConnectionID.number(in: id)
        let restaurant = tablet(number, id)?.restaurant
        authorizer.authorizeManagement(request, of: restaurant, unknown: .connectionNotFound, reply: reply) {
            [self] _ in
            // The tablet may have left while the user was looked up.
            guard let connection = tablet(number, id) else { return reply(.failure(.connectionNotFound)) }
            log.info("closed_by_administrator", ["connection": id.description])
            connection.close(.accessRevoked)
            reply(.success(HTTPResponse(status: 204)))
        }
    }

    /// Has another node close a connection.
    private func close(_ connection: ConnectionID, _ request: HTTPRequest, reply: @escaping Reply) {
        let find = { [nodes] found in nodes.locate(connection, reply: found) }
        authorizer.authorizeManagement(request, find: find, unknown: .connectionNotFound, reply: reply) {
            [nodes] _ in
            nodes.revoke(connection) { result in
                reply(
                    result.flatMap { wasThere in
                        wasThere ? .success(HTTPResponse(status: 204)) : .failure(.connectionNotFound)
                    })
            }
        }
    }

    private func tablet(_ number: UInt64, _ id: UUID128) -> ClientConnection? {
        guard let connection = hub.connection(number), connection.id.uuid == id, connection.user != nil else {
            return nil
        }
        return connection
    }

    // MARK: Diagnostics

    /// The diagnostics of one restaurant or, for platform owners who name none, of all.
    func report(_ request: HTTPRequest, reply: @escaping Reply) {
        authorizer.authorizeDiagnostics(request, reply: reply) { parameters throws(APIError) in
            try parameters.boolean("history", default: false)
        } then: { [self] restaurant, hasHistory in
            let form: NodeMessage.ReportForm =
                request.prefersPlainText ? .text : hasHistory ? .jsonWithHistory : .json
            nodes.gather(restaurant, form) { [self] others in
                let body = form == .text ? text(restaurant, others) : json(restaurant, form, others)
                var response = HTTPResponse(status: 200, body: body.bytes())
                response.headers.append(
                    "Content-Type", form == .text ? "text/plain; charset=utf-8" : "application/json")
                response.headers.append("Cache-Control", "no-store")
                response.headers.append("Vary", "Accept")
                reply(.success(response))
            }
        }
    }

    /// What this node reports to another one; `nil`: it does not fit into a message.
    func describe(_ restaurant: RestaurantID?, _ form: NodeMessage.ReportForm) -> [UInt8]? {
        var body = ByteBuffer()
        guard form != .text else {
            diagnosis(of: restaurant).report.appendText(to: &body)
            return body.bytes()
        }
        for extent in Extent.others {
            body.removeAll()
            body.append("{")
            appendMembers(restaurant, form, extent, to: &body)
            body.append("}")
            if body.count <= Extent.messageBytes { return body.bytes() }
        }
        return nil
    }

    private func text(_ restaurant: RestaurantID?, _ others: NodeHandler.Reports) -> ByteBuffer {
        var body = ByteBuffer()
        diagnosis(of: restaurant).report.appendText(to: &body)
        for (node, report) in others.bodies {
            body.append("\nOn node \(ConnectionID.nodeName(node)):\n")
            body.append(report)
        }
        for node in others.silent ?? [] {
            body.append("\nNode \(ConnectionID.nodeName(node)) did not answer within a second.\n")
        }
        if others.silent == nil {
            body.append("\nOther nodes, if there are any, could not be asked: Redis is not connected.\n")
        }
        return body
    }

    private func json(
        _ restaurant: RestaurantID?, _ form: NodeMessage.ReportForm, _ others: NodeHandler.Reports
    ) -> ByteBuffer {
        var body = ByteBuffer("{")
        appendMembers(restaurant, form, .own, to: &body)
        body.append(",\"nodes\":[")
        for (index, (_, report)) in others.bodies.enumerated() {
            if index > 0 { body.append(",") }
            body.append(report)
        }
        body.append("],\"silent_nodes\":")
        let silent = others.silent.map { nodes in
            nodes.map { "\"\(ConnectionID.nodeName($0))\"" }.joined(separator: ",")
        }
        body.append(silent.map { "[\($0)]" } ?? "null")
        body.append("}")
        return body
    }

    private func restaurants(_ restaurant: RestaurantID?) -> [RestaurantID] {
        restaurant.map { [$0] } ?? hub.restaurants.sorted { $0.uuid < $1.uuid }
    }

    private func diagnosis(of restaurant: RestaurantID?) -> TabletDiagnosis {
        let now = loop.now.instant
        let history = hub.ledger.history
        let records = history.records(of: restaurant)
        let known = history.tablets(of: restaurant)
        let limits = hub.settings.limits
        let begin = restaurant == nil ? started : records.first?.firstSeen ?? now
        var diagnosis = TabletDiagnosis(
            uptime: now - begin, idlePing: limits.idlePing, sendQueueBytes: limits.sendQueueBytes)
        var errors: [APIError.Code: Int] = [:]
        for record in records {
            diagnosis.add(record)
            errors.merge(record.errors) { $0 + $1 }
        }
        diagnosis.errors = errors.map { DiagnosticReport.ErrorCount(type: $0.rawValue, count: $1) }
        // Tablets that were connected before are known for longer than their present connection.
        var looping = Set(known.filter { $0.value.shortLived >= DiagnosticsEndpoint.loop }.keys)
        for tablet in known.values {
            diagnosis.connectedTime += tablet.connected
            diagnosis.knownTime += (tablet.leftAt ?? now) - tablet.firstSeen
        }
        for restaurant in restaurants(restaurant) {
            for member in hub.members(of: restaurant) {
                guard let tablet = Tablet(member, in: restaurant, hub: hub, feeds: feeds) else { continue }
                diagnosis.tablets.append(tablet.figures)
                diagnosis.messages += Int(clamping: tablet.log.counts.messages)
                diagnosis.connectedTime += tablet.figures.age
                let key = ConnectionHistory.TabletKey(member, in: restaurant)
                if known[key] == nil { diagnosis.knownTime += tablet.figures.age }
                if tablet.figures.age >= ConnectionHistory.shortLife { looping.remove(key) }
            }
        }
        diagnosis.looping = looping.count
        return diagnosis
    }

    // MARK: JSON

    private func appendMembers(
        _ restaurant: RestaurantID?, _ form: NodeMessage.ReportForm, _ extent: Extent, to body: inout ByteBuffer
    ) {
        body.append("\"time\":")
        body.append(json: loop.now.unixTime)
        body.append(",\"node\":\"")
        body.append(hexadecimal: hub.node)
        body.append("\",\"version\":\"\(fynloVersion)\",\"report\":")
        let diagnosis = diagnosis(of: restaurant)
        diagnosis.report.appendJSON(to: &body)
        appendCounters(diagnosis, restaurant, to: &body)
        if form == .jsonWithHistory {
            body.append(",\"history\":")
            activity.history(of: restaurant).appendJSON(to: &body, interval: activity.intervals.length)
        }
        body.append(",\"restaurants\":[")
        var left = extent.connections
        for (index, restaurant) in restaurants(restaurant).prefix(extent.restaurants).enumerated() {
            if index > 0 { body.append(",") }
            let members = hub.members(of: restaurant)
            body.append("{\"restaurant_id\":")
            body.append(json: restaurant.uuid)
            body.append(",\"head\":\(feeds.head(of: restaurant).map(String.init) ?? "null")")
            body.append(",\"connection_count\":\(members.count),\"connections\":[")
            var isFirst = true
            for member in members.prefix(left) {
                guard let tablet = Tablet(member, in: restaurant, hub: hub, feeds: feeds) else { continue }
                if !isFirst { body.append(",") }
                isFirst = false
                tablet.appendJSON(to: &body, version: hub.ledger.version(of: member), now: loop.now.instant)
            }
            left -= min(left, members.count)
            body.append("]}")
        }
        body.append("]")
    }

    /// Counters that only grow while the process runs: the difference of two reports tells what happened in between.
    private func appendCounters(_ diagnosis: TabletDiagnosis, _ restaurant: RestaurantID?, to body: inout ByteBuffer) {
        body.append(",\"counters\":{\"messages\":\(diagnosis.messages)")
        body.append(",\"heartbeats_received\":\(diagnosis.heartbeats.received)")
        body.append(",\"heartbeats_expected\":\(diagnosis.heartbeats.expected)")
        body.append(",\"menu_reads\":")
        cache.answers(of: restaurant).appendJSON(to: &body)
        body.append("}")
    }
}

/// One authenticated connection, as it is now.
private struct Tablet {
    let member: ConnectionRegistry.Member
    let id: ConnectionID
    let session: ServerSession
    let log: SessionLog
    let figures: TabletFigures
    let kernelRoundTrip: Duration?
    let toldRoundTrip: Duration?

    init?(_ member: ConnectionRegistry.Member, in restaurant: RestaurantID, hub: Hub, feeds: FeedHandler) {
        guard let connection = hub.connection(member.connection), let session = connection.session else { return nil }
        let now = hub.loop.now.instant
        self.member = member
        self.session = session
        log = connection.log
        id = connection.id
        kernelRoundTrip = connection.roundTrip
        let told = log.counts.roundTripMilliseconds
        toldRoundTrip = told == SessionCounts.unknownRoundTrip ? nil : .milliseconds(Int64(told))
        let totals = hub.ledger.totals(of: connection, wasAuthenticated: true)
        let sequence = log.counts.toldSequence
        figures = TabletFigures(
            age: now - connection.since, silence: now - session.lastHeard, pingsReceived: Int(log.counts.pings),
            pingsExpected: Int(clamping: totals.heartbeatsDue), roundTrip: kernelRoundTrip ?? toldRoundTrip,
            eventsBehind: sequence < 0 ? nil : feeds.head(of: restaurant).map { Int(max(0, $0 - sequence)) },
            queuedBytes: connection.queuedBytes)
    }

    func appendJSON(to body: inout ByteBuffer, version: String?, now: Instant) {
        body.append("{\"id\":")
        body.append(json: id.uuid)
        body.append(",\"user_id\":")
        body.append(json: member.user.uuid)
        body.append(",\"role\":\"\(member.role.rawValue)\",\"client_type\":\"\(session.client.rawValue)\"")
        body.append(",\"device_id\":")
        body.append(jsonString: member.device?.text)
        body.append(",\"client_version\":")
        body.append(jsonString: version)
        body.append(",\"state\":\"\(session.replayPosition == nil ? "connected" : "replaying")\"")
        body.append(",\"connected_seconds\":\(figures.age.secondsText)")
        body.append(",\"last_heartbeat_seconds\":\(figures.silence.secondsText)")
        body.append(",\"pings_received\":\(figures.pingsReceived),\"pings_expected\":\(figures.pingsExpected)")
        body.append(",\"round_trip_ms\":\(Tablet.milliseconds(kernelRoundTrip))")
        body.append(",\"told_round_trip_ms\":\(Tablet.milliseconds(toldRoundTrip))")
        let told = log.counts.toldSequence
        body.append(",\"sent_seq\":\(session.sentSequence.map(String.init) ?? "null")")
        body.append(",\"last_seq\":\(told < 0 ? "null" : String(told))")
        body.append(",\"events_behind\":\(figures.eventsBehind.map(String.init) ?? "null")")
        body.append(",\"queued_bytes\":\(figures.queuedBytes)")
        body.append(",\"messages\":\(log.counts.messages),\"errors\":\(log.counts.errors),\"last_events\":[")
        for (index, entry) in log.trace.entries(at: now).enumerated() {
            if index > 0 { body.append(",") }
            body.append("{\"event\":\"\(entry.event.name)\",\"count\":\(entry.count)")
            body.append(",\"seconds_ago\":\(entry.age.secondsText)}")
        }
        body.append("]}")
    }

    private static func milliseconds(_ duration: Duration?) -> String {
        guard let duration else { return "null" }
        let hundredths = max(0, duration.inNanoseconds) / 10_000
        return "\(hundredths / 100).\(String(100 + hundredths % 100).dropFirst())"
    }
}

extension TabletDiagnosis {
    /// Adds the record of a restaurant.
    fileprivate mutating func add(_ record: ConnectionHistory.Restaurant) {
        reconnects += record.reconnects
        stale += record.stale
        replaced += record.replaced
        slow += record.slow
        tooFast += record.tooFast
        revoked += record.revoked
        lost += record.lost
        tokensExpired += record.tokensExpired
        refusedTokens += record.refusedTokens
        resumedEvents += record.resumedEvents
        messages += Int(clamping: record.ended.messages)
        pingsReceived += Int(clamping: record.ended.pings)
        pingsExpected += Int(clamping: record.ended.heartbeatsDue)
    }
}

extension APIError {
    static let connectionNotFound = APIError(.connectionNotFound, "There is no such connection here.")
}

extension HTTPRequest {
    /// RFC 9110 §12.5.1, for two forms: text if the client accepts it and does not prefer JSON.
    fileprivate var prefersPlainText: Bool {
        let ranges = headers.values("accept").joined(separator: ",").split(separator: ",").map { range in
            range.split(separator: ";").map { $0.trimmingWhitespace().lowercased() }
        }
        func quality(_ names: [String]) -> Double {
            for name in names {
                guard let range = ranges.first(where: { $0.first == name }) else { continue }
                let weight = range.dropFirst().first { $0.hasPrefix("q=") }?.dropFirst(2)
                return weight.map { Double($0) ?? 0 } ?? 1
            }
            return 0
        }
        let text = quality(["text/plain", "text/*"])
        return text > 0 && text > quality(["application/json", "application/*"])
    }
}
