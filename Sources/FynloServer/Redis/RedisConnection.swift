// One connection to Redis on the loop: commands are pipelined, written once per turn, and answered in order. It connects
// again by itself for ever, and nobody ever waits for it longer than his budget: without a connection a command fails at
// once, so that the caller goes on without the cache.
//
//     closed -> resolving -> connecting -> greeting (AUTH, SELECT, PING) -> ready
//                   ^            any failure or loss: waiting, 50 ms to 2 s      |
//                   +------------------------------------------------------------+

import FynloCore
import FynloIO

/// The driver. The loop keeps it from `open` to `close`.
final class RedisConnection: EventSource {
    /// All its limits. Tests lower them.
    struct Limits {
        /// Commands whose answers have not come, those included that have timed out.
        var outstandingRequests = 8192
        /// Bytes of commands that the kernel has not taken. It takes few only when Redis does not read.
        var outputBytes = 16 << 20
        /// Bytes of one answer, give or take one `receive`. More is not for a cache.
        var replyBytes = 8 << 20
        /// Bytes received in one turn, so that a flood of answers does not hold up the tablets.
        var receiveBytesPerTurn = 256 << 10
        /// The connection is given up when nothing has come for so long although answers are due.
        var silence: Duration = .seconds(1)
        /// For one address to accept the connection.
        var connect: Duration = .seconds(1)
        /// Between two attempts: doubled with each failure, and then a random part of its upper half.
        var backoff: ClosedRange<Duration> = .milliseconds(50)...(.seconds(2))
    }

    /// How Redis has done.
    struct Figures {
        /// From sending a command to its answer, whether somebody still waited for it or not.
        var commands = Histogram(.latency)
        /// Commands whose answer did not come within their budget.
        var timeouts: UInt64 = 0
        /// Commands that were not sent: no connection, or too much under way.
        var refusals: UInt64 = 0
        /// Commands answered by an error.
        var errors: UInt64 = 0
        /// Connections that were lost or could not be made.
        var losses: UInt64 = 0
    }

    private enum State {
        case closed
        /// The name is being looked up on the helper thread.
        case resolving
        /// The socket is not connected yet; `others` are tried if this address fails.
        case connecting(until: Instant, others: ArraySlice<SocketAddress>)
        /// Redis has not let us in, or has not proved that it answers.
        case greeting
        case ready(since: Instant)
        case waiting(until: Instant)
    }

    /// Called each time Redis can be used (again), from a turn of the loop. The place to subscribe.
    @SetOnce var whenReady: () -> Void = {}
    /// For a connection that subscribes: is given the messages of its channels (`["message", channel, payload]`,
    /// `["pmessage", pattern, channel, payload]`). The answer to SUBSCRIBE, of one channel each, goes to its `reply`. A
    /// subscriber that only listens does not notice a silent Redis: let it PING from time to time.
    var pushHandler: ((RedisReply) -> Void)?

    /// Messages of channels whose payload begins so are dropped unread: what one says oneself to others. Set before `open`.
    var ownBeginning: [UInt8] = []

    private let loop: EventLoop
    private let settings: RedisSettings
    private let limits: Limits
    private let log: (Logger.Level, String) -> Void

    private var state = State.closed
    /// For `tick`; nil when closed.
    private var timer: SourceToken?
    /// Counts the connects, so that a late answer of the name service is not taken for that of a later one.
    private var attempt = 0
    /// Failures since Redis was last in use for a while.
    private var failures = 0
    /// What was last logged about Redis being away; nil once it is back.
    private var reported: String?

    private var socket: FileDescriptor?
    private var socketToken: SourceToken?
    private var reader: RedisReplyReader?
    private var pending = PendingRequests()
    private var input = ByteBuffer()
    private var output = ByteBuffer()
    private var lastHeard = Instant(nanoseconds: 0)
    /// How it has done.
    private(set) var figures = Figures()
    private var isFlushScheduled = false
    /// Answers have been received for which the turn had no time.
    private var isDeliveryPutOff = false
    /// The kernel takes no more for now.
    private var isOutputBlocked = false

    /// `log` is called with a sentence when Redis is connected, and with a warning for each new reason why it is not.
    init(
        loop: EventLoop, settings: RedisSettings, limits: Limits = Limits(),
        log: @escaping (Logger.Level, String) -> Void
    ) {
        self.loop = loop
        self.settings = settings
        self.limits = limits
        self.log = log
    }

    /// Redis has let us in and has answered.
    var isReady: Bool {
        if case .ready = state { true } else { false }
    }

    /// Commands whose answers have not come, those included that have timed out.
    var outstandingRequests: Int { pending.count }

    /// Connects, and again whenever the connection is lost. Does nothing when it is open.
    func open() {
        guard case .closed = state else { return }
        timer = loop.add(timer: self)
        failures = 0
        reported = nil
        connect()
    }

    /// Gives the kernel what it takes of the commands already sent, and closes. Their replies fail with `closed` soon after this
    /// call has returned; to be sure that a command is carried out, wait for its answer before. Does nothing when it is closed.
    func close() {
        if let timer { loop.remove(timer) }
        timer = nil
        if let number = socket?.rawValue, isReady { _ = try? Socket.send(number, from: &output) }
        attempt += 1
        state = .closed
        let untold = disconnect()
        tell(untold, .closed)
    }

    /// There may be thousands of them, each with work to do.
    private func tell(_ replies: [PendingRequest.Reply], _ error: RedisError) {
        for reply in replies { loop.later { reply(.failure(error)) } }
    }

    /// Sends a command and calls `reply` exactly once, after this call has returned: with the answer, which may be
    /// `RedisReply.error`, with `timeout` when `budget` is over, or with why it was not sent. An answer that comes too late is
    /// thrown away. No budget outlasts `Limits.silence` with nothing coming in.
    func send(
        _ arguments: [RedisArgument], budget: Duration = .milliseconds(50), reply: @escaping PendingRequest.Reply
    ) {
        send(atMost: arguments.boundBytes, budget: budget, reply: reply) { $0.append(command: arguments) }
    }

    /// As `send(_:budget:reply:)`, for a command that `write` appends, of at most so many bytes: what is sent often need not be
    /// made into words first.
    func send(
        atMost bytes: Int, budget: Duration, reply: @escaping PendingRequest.Reply,
        _ write: (inout ByteBuffer) -> Void
    ) {
        guard isReady else { return refuse(reply, .notConnected) }
        guard pending.count < limits.outstandingRequests, bytes <= limits.outputBytes - output.count else {
            return refuse(reply, .overloaded)
        }
        // Not the time of the turn: whatever the turn has taken until here is not the fault of Redis.
        let now = SystemClock.instant
        let deadline = now + min(max(budget, .zero), .seconds(3600))
        enqueue(PendingRequest(sentAt: now, deadline: deadline, reply: reply), write)
        guard !isFlushScheduled, !isOutputBlocked else { return }
        isFlushScheduled = true
        loop.atEndOfTurn {
            self.isFlushScheduled = false
            self.flush()
        }
    }

    private func refuse(_ reply: @escaping PendingRequest.Reply, _ error: RedisError) {
        figures.refusals += 1
        loop.atEndOfTurn { reply(.failure(error)) }
    }

    private func enqueue(_ request: PendingRequest, _ write: (inout ByteBuffer) -> Void) {
        write(&output)
        pending.append(request)
        wake(by: min(request.deadline, request.sentAt + limits.silence))
    }

    private func wake(by instant: Instant) {
        if let timer { loop.wake(timer, by: instant) }
    }

    // MARK: Events

    func ready(_ readiness: Readiness, now: Moment) {
        switch state {
        case .connecting(_, let others):
            guard let number = socket?.rawValue else { return }
            if let error = Socket.pendingError(of: number) {
                connect(to: others, after: error.description)
            } else {
                greet()
            }
        case .greeting, .ready:
            if readiness.contains(.write) { flush() }
            if readiness.contains(.read) || readiness.contains(.hangup) { receive(at: now.instant) }
        case .closed, .resolving, .waiting:
            break
        }
    }

    func tick(now: Moment) -> Instant? {
        switch state {
        case .closed, .resolving:
            return nil
        case .waiting(let until):
            guard until <= now.instant else { return until }
            connect()
            return nil
        case .connecting(let until, let others):
            guard until <= now.instant else { return until }
            connect(to: others, after: "It did not accept the connection in time.")
            return nil
        case .greeting, .ready:
            return lookAtDeadlines(now.instant)
        }
    }

    private func lookAtDeadlines(_ now: Instant) -> Instant? {
        // Their answers may be among those for which there was no time yet.
        guard !isDeliveryPutOff else { return now + .milliseconds(1) }
        let (expired, nextDeadline) = pending.expire(by: now)
        figures.timeouts += UInt64(expired.count)
        tell(expired, .timeout)
        let silenceEnds = pending.first.map { max($0.sentAt, lastHeard) + limits.silence }
        if let silenceEnds, silenceEnds <= now {
            lose("It has been silent for \(limits.silence.inMilliseconds) ms with answers due.")
            return nil
        }
        return [nextDeadline, silenceEnds].compactMap(\.self).min()
    }

    // MARK: Connecting

    private func connect() {
        attempt += 1
        switch settings.endpoint {
        case .unix(let address):
            connect(to: [address], after: "")
        case .host(let host, let port):
            if let address = SocketAddress(host: host, port: port) { return connect(to: [address], after: "") }
            state = .resolving
            let attempt = attempt
            loop.offload {
                Resolver.resolve(host: host, port: port)
            } then: { [weak self] result in
                guard let self, attempt == self.attempt, case .resolving = state else { return }
                switch result {
                case .success(let addresses): connect(to: addresses[...], after: "")
                case .failure(let error): lose(error.description)
                }
            }
        }
    }

    /// Tries the next of the addresses; when there is none, `reason` is why.
    private func connect(to addresses: ArraySlice<SocketAddress>, after reason: String) {
        _ = disconnect()
        var others = addresses
        var reason = reason
        while let address = others.popFirst() {
            do {
                let socket = try Socket.nonBlockingConnect(to: address)
                Socket.setNoDelay(socket.rawValue)
                socketToken = try loop.add(self, descriptor: socket.rawValue, interest: .write)
                self.socket = consume socket
                let until = SystemClock.instant + limits.connect
                state = .connecting(until: until, others: others)
                return wake(by: until)
            } catch {
                reason = error.description
            }
        }
        lose(reason)
    }

    /// AUTH and SELECT as far as they are needed, and PING: a Redis that does not answer, or is still loading, is not ready.
    private func greet() {
        state = .greeting
        reader = RedisReplyReader(passingOver: ownBeginning)
        lastHeard = SystemClock.instant
        if let password = settings.password {
            let user = settings.user.map { [RedisArgument.bytes($0)] } ?? []
            ask(["AUTH"] + user + [.bytes(password)]) { error in
                // The text is logged only where it is known not to repeat the password.
                error.hasPrefix("DENIED") || error.hasPrefix("ERR max number of clients")
                    ? "It refuses us: \(Self.printable(error))." : "It refuses the user or password of REDIS_URL."
            }
        }
        if settings.database != 0 {
            ask(["SELECT", .integer(Int64(settings.database))]) { "It refuses the database: \(Self.printable($0))." }
        }
        ask(["PING"]) { error in
            // A user who may not PING has been let in all the same.
            error.hasPrefix("NOPERM")
                ? nil
                : error.hasPrefix("NOAUTH")
                    ? "It wants a password, and REDIS_URL has none." : "It refuses us: \(Self.printable(error))."
        } then: { connection in
            connection.becomeReady()
        }
        flush()
    }

    /// `refusal` says why an error reply is the end of the attempt; nil when it is not.
    private func ask(
        _ arguments: [RedisArgument], refusal: @escaping (String) -> String?,
        then: @escaping (RedisConnection) -> Void = { _ in }
    ) {
        let never = Instant(nanoseconds: .max)  // what holds is `Limits.silence`
        let request = PendingRequest(sentAt: SystemClock.instant, deadline: never) { [weak self] result in
            guard let self, case .success(let reply) = result else { return }
            if case .error(let text) = reply, let reason = refusal(text) { return lose(reason) }
            then(self)
        }
        enqueue(request) { $0.append(command: arguments) }
    }

    private func becomeReady() {
        state = .ready(since: SystemClock.instant)
        reported = nil
        log(.info, "Redis is connected (\(settings)).")
        whenReady()
    }

    /// The beginning of a text of Redis on one line, without its full stop.
    private static func printable(_ text: String) -> String {
        let characters = text.unicodeScalars.prefix(200).map { scalar in
            scalar.value < 0x20 || scalar.value == 0x7f ? " " : Character(scalar)
        }
        let line = String(characters)
        return line.hasSuffix(".") ? String(line.dropLast()) : line
    }

    // MARK: Losing it

    /// Ends this connection, or this attempt, for a reason (a sentence), and goes on to the next.
    private func lose(_ reason: String) {
        let now = SystemClock.instant
        if case .ready(let since) = state, now - since >= limits.backoff.upperBound { failures = 0 }
        let untold = disconnect()
        let longest = min(limits.backoff.lowerBound * (2 << min(failures, 16)), limits.backoff.upperBound)
        let shortest = max(longest / 2, limits.backoff.lowerBound)
        failures += 1
        figures.losses += 1
        let until = now + .nanoseconds(Int64.random(in: shortest.inNanoseconds...longest.inNanoseconds))
        state = .waiting(until: until)
        wake(by: until)
        if reported != reason {
            reported = reason
            log(.warning, "Redis (\(settings)) is not available and is tried again until it is: \(reason)")
        }
        tell(untold, .connectionLost)
    }

    /// Lets go of the socket and of all that belongs to this connection. Returns the replies that have been told nothing.
    private func disconnect() -> [PendingRequest.Reply] {
        if let socketToken { loop.remove(socketToken) }
        socketToken = nil
        socket = nil
        reader = nil
        input.removeAll()
        output.removeAll()
        isOutputBlocked = false
        return pending.removeAll()
    }

    // MARK: Bytes

    private func flush() {
        guard let number = socket?.rawValue, let socketToken, reader != nil else { return }
        do {
            while !output.isEmpty {
                guard try Socket.send(number, from: &output) != .wouldBlock else { break }
            }
        } catch {
            // Redis may have said why before it went.
            receive(at: SystemClock.instant)
            if self.socketToken == socketToken { lose(error.description) }
            return
        }
        isOutputBlocked = !output.isEmpty
        if !isOutputBlocked { output.removeAll(keepingCapacity: output.capacity <= 65_536) }
        loop.setInterest(isOutputBlocked ? [.read, .write] : .read, for: socketToken)
    }

    private func receive(at now: Instant) {
        // hiredis moves what it holds with each KiB that it has used up: much less than what comes all the time to a subscriber.
        let atOnce = pushHandler == nil ? 65_536 : 8_192
        var left = limits.receiveBytesPerTurn
        let reader = reader
        // A reply may close the connection, or open another one.
        while left > 0, !isDeliveryPutOff, let reader, reader === self.reader, let number = socket?.rawValue {
            do {
                switch try Socket.receive(number, into: &input, limit: atOnce) {
                case .bytes(let count):
                    left -= count
                    lastHeard = now
                    input.withReadable { reader.feed($0) }
                    input.removeAll(keepingCapacity: true)
                    deliver(from: reader)
                    guard count == atOnce else { return }
                case .endOfStream:
                    lose("It closed the connection.")
                case .wouldBlock:
                    return
                }
            } catch {
                lose(error.description)
            }
        }
    }

    private func deliver(from reader: RedisReplyReader) {
        while reader === self.reader {
            switch reader.next() {
            case .reply(let reply):
                deliver(reply)
                if loop.isOverdue { return deliverLater() }
            case .passedOver:
                if loop.isOverdue { return deliverLater() }
            case .needsMoreBytes:
                if reader.pendingBytes > limits.replyBytes {
                    lose("It sent an answer of more than \(limits.replyBytes) bytes.")
                }
                return
            case .rubbish(let reason):
                lose(reason)
            }
        }
    }

    /// Nothing more is received before.
    private func deliverLater() {
        isDeliveryPutOff = true
        loop.later { [self] in
            isDeliveryPutOff = false
            if let reader { deliver(from: reader) }
        }
    }

    private func deliver(_ reply: RedisReply) {
        if let pushHandler, reply.isPush { return pushHandler(reply) }
        guard let request = pending.popFirst() else { return lose("It sent an answer to nothing.") }
        figures.commands.observe(SystemClock.instant - request.sentAt)
        if case .error = reply { figures.errors += 1 }
        request.reply?(.success(reply))
    }
}

extension RedisReply {
    /// A message of a channel: such an array answers no command of a subscriber.
    fileprivate var isPush: Bool {
        guard case .array(let elements) = self, case .string(let kind)? = elements.first else { return false }
        return kind.elementsEqual("message".utf8) || kind.elementsEqual("pmessage".utf8)
    }
}
