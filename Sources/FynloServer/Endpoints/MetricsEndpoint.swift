// GET /metrics: everything that is counted anywhere in the process, as Prometheus reads it. What is so at the moment is
// looked up now, in one pass over the connections; nothing of it is kept for the sake of being asked.

import FynloCore
import FynloIO

/// Writes the metrics of one process.
final class MetricsEndpoint {
    private let loop: EventLoop
    private let hub: Hub
    private let feeds: FeedHandler
    private let pool: PostgresPool
    private let redis: RedisConnection?
    private let bus: (any NodeBus)?
    private let cache: MenuCache
    private let leases: Leases
    private let log: Logger
    private let startedAt: UnixTime
    /// Where the next page goes on to measure round trips.
    private var roundTripStart = 0

    /// Restaurants with labels of their own; the others are summed as `other`.
    private static let restaurants = 100
    /// Tablets whose round trip is asked for by one page: a system call each.
    private static let roundTrips = 200

    init(
        loop: EventLoop, hub: Hub, feeds: FeedHandler, pool: PostgresPool, redis: RedisConnection?, bus: (any NodeBus)?,
        cache: MenuCache, leases: Leases, log: Logger
    ) {
        self.loop = loop
        self.hub = hub
        self.feeds = feeds
        self.pool = pool
        self.redis = redis
        self.bus = bus
        self.cache = cache
        self.leases = leases
        self.log = log
        startedAt = loop.now.unixTime
    }

    /// The page, as soon as the kernel has told of the process.
    func page(reply: @escaping (HTTPResponse) -> Void) {
        loop.offload {
            ProcessFigures.read()
        } then: { [weak self] process in
            guard let self else { return }
            var response = HTTPResponse(status: 200, body: self.text(process))
            response.headers.append("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            response.headers.append("Cache-Control", "no-store")
            reply(response)
        }
    }

    private func text(_ process: ProcessFigures) -> [UInt8] {
        var text = PrometheusText()
        let census = Census(hub: hub, feeds: feeds)
        measureRoundTrips(census.tablets)
        writeConnections(census, &text)
        writeEnds(&text)
        writeMessages(census.totals + hub.metrics.ended, &text)
        writeStorage(&text)
        writeProcess(process, &text)
        return text.output.bytes()
    }

    /// Asks the kernel about tablets, others each time if there are many.
    private func measureRoundTrips(_ tablets: [ClientConnection]) {
        guard !tablets.isEmpty else { return }
        let count = min(tablets.count, MetricsEndpoint.roundTrips)
        for step in 0..<count {
            let tablet = tablets[(roundTripStart + step) % tablets.count]
            if let roundTrip = tablet.roundTrip { hub.metrics.roundTrips.observe(roundTrip) }
        }
        roundTripStart = (roundTripStart + count) % tablets.count
    }

    // MARK: Connections

    private func writeConnections(_ census: Census, _ text: inout PrometheusText) {
        text.family(
            "fynlo_connections", .gauge,
            "WebSockets by restaurant (100, and the others), client type and state.")
        for group in census.connections(restaurants: MetricsEndpoint.restaurants) {
            text.sample(
                group.count,
                ["restaurant": group.restaurant, "client_type": group.client.rawValue, "state": group.phase.rawValue])
        }
        text.family("fynlo_sockets", .gauge, "Open sockets of clients by what they are used for.")
        text.sample(census.sockets - census.webSockets, ["use": "http"])
        text.sample(census.webSockets, ["use": "websocket"])
        text.family("fynlo_sockets_limit", .gauge, "FYNLO_MAX_CONNECTIONS.")
        text.sample(hub.settings.limits.connections)
        text.family("fynlo_sockets_accepted_total", .counter, "Sockets accepted, by listener.")
        text.sample(hub.metrics.acceptedSockets, ["listener": "main"])
        text.sample(hub.metrics.acceptedOperationsSockets, ["listener": "admin"])
        text.family(
            "fynlo_restaurant_event_lag", .gauge,
            "Events by which the tablet furthest behind is behind, as pings tell; restaurants beyond 100 are other.")
        for (restaurant, lag) in census.lags(restaurants: MetricsEndpoint.restaurants) {
            text.sample(lag, ["restaurant": restaurant])
        }
        text.family("fynlo_send_queue_bytes", .gauge, "Bytes queued for clients that have not taken them.")
        text.sample(census.queuedBytes)
        text.family(
            "fynlo_round_trip_seconds", .histogram,
            "The kernel's round trip to tablets; 200 are looked at per scrape.")
        text.samples(hub.metrics.roundTrips)
    }

    private func writeEnds(_ text: inout PrometheusText) {
        let metrics = hub.metrics
        text.family(
            "fynlo_connection_duration_seconds", .histogram, "How long WebSockets lasted, once let in, that have ended."
        )
        text.samples(metrics.connectionDurations)
        text.family("fynlo_connections_closed_total", .counter, "WebSockets that have ended, by close code.")
        for (code, count) in metrics.endsByCode { text.sample(count, ["code": code]) }
        text.family("fynlo_reconnects_total", .counter, "Authenticated tablets that had been here before.")
        text.sample(metrics.reconnects)
        text.family("fynlo_slow_consumers_total", .counter, "WebSockets closed because they did not read.")
        text.sample(metrics.slowConsumers)
        text.family("fynlo_authentications_total", .counter, "Answers to authenticate, by result.")
        text.sample(metrics.authenticated, ["result": "accepted"])
        for (code, count) in metrics.failuresByCode { text.sample(count, ["result": code]) }
        text.family("fynlo_authentication_seconds", .histogram, "From authenticate to its answer, of tokens looked at.")
        text.samples(metrics.authenticationTime)
        text.family("fynlo_reauthentications_total", .counter, "Answers to reauth, by result.")
        text.sample(metrics.reauthenticated, ["result": "accepted"])
        text.sample(metrics.reauthenticationFailures, ["result": "failed"])
    }

    // MARK: Messages

    private func writeMessages(_ totals: Metrics.SessionTotals, _ text: inout PrometheusText) {
        let metrics = hub.metrics
        text.family("fynlo_messages_received_total", .counter, "Messages of WebSockets, by kind.")
        text.sample(totals.pings, ["kind": "ping"])
        text.sample(totals.commands, ["kind": "command"])
        text.sample(totals.transients, ["kind": "transient"])
        text.sample(totals.others, ["kind": "other"])
        text.sample(totals.unreadable, ["kind": "unreadable"])
        text.sample(totals.rateRefusals, ["kind": "refused"])
        text.family("fynlo_heartbeats_expected_total", .counter, "Pings due, one per heartbeat interval and tablet.")
        text.sample(totals.heartbeatsDue)
        text.family("fynlo_heartbeats_received_total", .counter, "Pings received.")
        text.sample(totals.pings)
        text.family("fynlo_rate_limit_refusals_total", .counter, "Messages refused because they came too fast.")
        text.sample(totals.rateRefusals)
        text.family("fynlo_events_total", .counter, "Durable events handed out live.")
        text.sample(metrics.events)
        text.family("fynlo_events_replayed_total", .counter, "Durable events sent to tablets that had missed them.")
        text.sample(metrics.replayedEvents)
        text.family(
            "fynlo_deliveries_total", .counter, "Events and relayed messages, times the tablets that got them.")
        text.sample(metrics.deliveries)
        text.family("fynlo_received_bytes_total", .counter, "Bytes received from clients.")
        text.sample(metrics.bytesReceived)
        text.family("fynlo_sent_bytes_total", .counter, "Bytes sent to clients.")
        text.sample(metrics.bytesSent)
        text.family("fynlo_errors_total", .counter, "Errors told to clients, over HTTP and WebSocket, by code.")
        for (code, count) in metrics.errorsByCode { text.sample(count, ["code": code]) }
        text.family(
            "fynlo_message_seconds", .histogram,
            "From receipt to the last socket written, of messages that ask for something.")
        text.samples(metrics.relayTime, ["kind": "transient"])
        text.samples(metrics.commandTime, ["kind": "command"])
        text.family(
            "fynlo_event_delivery_seconds", .histogram,
            "From an event's commit, by PostgreSQL's clock, to the last socket written.")
        text.samples(metrics.deliveryTime)
        text.family("fynlo_http_responses_total", .counter, "Answers of the API, by route and class of status.")
        for (route, status, count) in metrics.responsesByRoute where count > 0 || route == "menu" {
            text.sample(count, ["route": route, "status": status])
        }
        text.family("fynlo_http_request_seconds", .histogram, "From a request to its answer.")
        text.samples(metrics.requestTime)
    }

    // MARK: Storage

    private func writeStorage(_ text: inout PrometheusText) {
        let lanes = pool.laneFigures
        text.family("fynlo_postgres_connections", .gauge, "Connections to PostgreSQL, by kind of work and state.")
        for lane in lanes {
            text.sample(lane.connecting, ["lane": lane.name, "state": "connecting"])
            text.sample(lane.idle, ["lane": lane.name, "state": "idle"])
            text.sample(lane.busy, ["lane": lane.name, "state": "busy"])
        }
        text.family("fynlo_postgres_waiting_requests", .gauge, "Requests that wait for a connection.")
        for lane in lanes { text.sample(lane.waiting, ["lane": lane.name]) }
        text.family("fynlo_postgres_statement_seconds", .histogram, "From sending a statement to its answer.")
        for lane in lanes { text.samples(lane.statements, ["lane": lane.name]) }
        text.family("fynlo_postgres_failures_total", .counter, "What went wrong with PostgreSQL.")
        text.sample(pool.failures.connectionsLost, ["reason": "connection_lost"])
        text.sample(pool.failures.timeouts, ["reason": "timeout"])
        text.sample(pool.failures.errors, ["reason": "error"])
        text.sample(pool.failures.refusals, ["reason": "no_connection"])
        let redisFigures = redis?.figures ?? RedisConnection.Figures()
        text.family("fynlo_redis_up", .gauge, "1 while there is a connection to Redis.")
        text.sample(redis?.isReady == true ? 1 : 0)
        text.family("fynlo_redis_command_seconds", .histogram, "From sending a command to Redis to its answer.")
        text.samples(redisFigures.commands)
        text.family("fynlo_redis_failures_total", .counter, "What went wrong with Redis.")
        text.sample(redisFigures.losses, ["reason": "connection_lost"])
        text.sample(redisFigures.timeouts, ["reason": "timeout"])
        text.sample(redisFigures.errors, ["reason": "error"])
        text.sample(redisFigures.refusals, ["reason": "not_sent"])
        text.family("fynlo_limits_shared", .gauge, "1 while the limits are those of all nodes together.")
        text.sample(leases.isShared ? 1 : 0)
        text.family(
            "fynlo_limit_decisions_total", .counter,
            "Tablets counted against the limits of their restaurant and user, by who counted.")
        text.sample(leases.figures.decidedByAll, ["by": "all"])
        text.sample(leases.figures.decidedAlone, ["by": "node"])
        text.family("fynlo_lease_renewals_total", .counter, "Renewals of the lease on this node's slots, by result.")
        text.sample(leases.figures.renewed, ["result": "held"])
        text.sample(leases.figures.lapsed, ["result": "lapsed"])
        text.sample(leases.figures.notRenewed, ["result": "failed"])
        writeBus(&text)
        text.family("fynlo_menu_reads_total", .counter, "Menus given to readers, by where they came from.")
        text.sample(cache.answers[.process], ["source": "process"])
        text.sample(cache.answers[.redis], ["source": "redis"])
        text.sample(cache.answers[.miss], ["source": "miss"])
        text.sample(cache.answers[.stale], ["source": "stale"])
        text.sample(cache.answers[.bypass], ["source": "bypass"])
        text.sample(cache.answers[.failed], ["source": "failed"])
    }

    private func writeBus(_ text: inout PrometheusText) {
        let figures = bus?.figures ?? NodeBusFigures()
        text.family("fynlo_bus_up", .gauge, "1 while what other processes say is heard.")
        text.sample(bus?.isListening == true ? 1 : 0)
        text.family("fynlo_bus_channels", .gauge, "Channels that are subscribed to: two, and one per restaurant.")
        text.sample(bus?.channelCount ?? 0)
        text.family("fynlo_bus_sent_total", .counter, "Messages to other processes that were given to Redis, by kind.")
        for kind in NodeMessage.Kind.allCases { text.sample(figures.sent[kind] ?? 0, ["kind": kind.rawValue]) }
        text.family(
            "fynlo_bus_unsent_total", .counter, "Messages to other processes that Redis did not take, or not in time.")
        text.sample(figures.unsent)
        text.family("fynlo_bus_received_total", .counter, "Messages of other processes, by kind.")
        for kind in NodeMessage.Kind.allCases { text.sample(figures.received[kind] ?? 0, ["kind": kind.rawValue]) }
        text.family("fynlo_bus_passed_over_total", .counter, "Messages that are not understood, by reason.")
        text.sample(figures.otherVersions, ["reason": "other_version"])
        text.sample(figures.unreadable, ["reason": "unreadable"])
        text.family(
            "fynlo_bus_losses_total", .counter, "Connections to Redis for messages that were lost or not made.")
        text.sample(figures.losses)
    }

    // MARK: The process

    private func writeProcess(_ process: ProcessFigures, _ text: inout PrometheusText) {
        text.family(
            "fynlo_loop_turn_seconds", .histogram, "How long the loop's turns took; the sum is how long it was busy.")
        text.samples(loop.figures.turns)
        text.family("fynlo_loop_busy_seconds_total", .counter, "Time in which the loop was not waiting.")
        text.sample(loop.figures.turns.sumInSeconds)
        text.family("fynlo_loop_lag_seconds", .histogram, "How late timers came; up to 2 ms are their coarseness.")
        text.samples(loop.figures.lateness)
        text.family("fynlo_loop_longest_turn_seconds", .gauge, "The longest turn of the last minute or two.")
        text.sample(Double(loop.figures.longestTurn(at: loop.now.instant).inNanoseconds) / 1e9)
        text.family("fynlo_process_resident_memory_bytes", .gauge, "Memory in use that is not swapped out.")
        text.sample(process.residentBytes)
        text.family("fynlo_process_cpu_seconds_total", .counter, "Processor time used, in user and system mode.")
        text.sample(process.processorSeconds)
        text.family("fynlo_process_open_descriptors", .gauge, "Open file descriptors.")
        text.sample(process.openDescriptors)
        text.family("fynlo_process_descriptors_limit", .gauge, "File descriptors that may be open.")
        text.sample(process.descriptorLimit)
        text.family("fynlo_process_start_time_seconds", .gauge, "When the server started, in seconds since 1970.")
        text.sample(Double(startedAt.milliseconds) / 1_000)
        text.family("fynlo_log_lines_dropped_total", .counter, "Lines of the log that nobody was there to take.")
        text.sample(log.droppedLines)
        text.family("fynlo_build_info", .gauge, "1; the version is in the label.")
        text.sample(1, ["version": fynloVersion])
    }
}
