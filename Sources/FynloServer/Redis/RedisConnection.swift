// One connection to Redis on the loop: commands are pipelined, written once per turn, and answered in order. After a loss it
// reconnects by itself, without end. Nobody waits for it longer than their budget: without a connection a command fails at
// once, so that the caller goes on without Redis.
//
//     closed -> resolving -> connecting -> greeting (AUTH, SELECT, PING) -> ready
//                   ^            any failure or loss: waiting, 50 ms to 2 s      |
//                   +------------------------------------------------------------+

import FynloCore
import FynloIO

/// The driver. The loop retains it from `open` to `close`.
final class RedisConnection: EventSource {
    private enum State {
        case closed
        /// The helper thread is resolving the host's name.
        case resolving
        /// The socket is not connected yet. If this address fails, `others` are tried.
        case connecting(until: Instant, others: ArraySlice<SocketAddress>)
        /// The greeting has not been answered completely.
        case greeting
        case ready(since: Instant)
        case waiting(until: Instant)
    }

    /// Called each time Redis becomes ready, from a turn of the loop. This is the place to subscribe.
    @SetOnce var whenReady: () -> Void = {}
    /// Called with the messages of subscribed channels (`["message", channel, payload]`,
    /// `["pmessage", pattern, channel, payload]`). The answer to SUBSCRIBE, for one channel each, goes to its `reply`. A
    /// subscriber that only listens does not notice a silent Redis, so it has to PING from time to time.
    var pushHandler: ((RedisReply) -> Void)?

    /// Messages whose payload begins with these bytes are dropped unread: they are this node's own. Set before `open`.
    var ownBeginning: [UInt8] = []

    private let loop: EventLoop
    private let settings: RedisSettings
    private let limits: Limits
    private let log: (Logger.Level, String) -> Void

    private var state = State.closed
    /// The timer for `tick`; nil when closed.
    private var timer: SourceToken?
    /// Counts the attempts, so that a late answer of the resolver is not mistaken for that of a newer attempt.
    private var attempt = 0
    private var backoff: RedisBackoff
    /// The reason last logged for Redis being unavailable; nil once it is ready.
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
    /// Answers have been received that the turn had no time to deliver.
    private var isDeliveryPutOff = false
    /// The kernel takes no more bytes for now.
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
        backoff = RedisBackoff(limits.backoff)
    }

    /// Redis has answered the greeting.
    var isReady: Bool {
        if case .ready = state { true } else { false }
    }

    /// Commands whose answers have not come, including those that have timed out.
    var outstandingRequests: Int { pending.count }

    /// Connects, and reconnects whenever the connection is lost. Does nothing if it is open.
    func open() {
        guard case .closed = state else { return }
        timer = loop.add(timer: self)
        backoff.reset()
        reported = nil
        connect()
    }

    /// Hands the commands already sent to the kernel, as far as it takes them, and closes. Their replies fail with `closed` soon
    /// after this call has returned. To be sure that a command is carried out, wait for its answer first. Does nothing if closed.
    func close() {
        if let timer { loop.remove(timer) }
        timer = nil
        if let number = socket?.rawValue, isReady { _ = try? Socket.send(number, from: &output) }
        attempt += 1
        state = .closed
        let untold = disconnect()
        tell(untold, .closed)
    }

    /// Each in a later turn: there may be thousands of replies, each with work to do.
    private func tell(_ replies: [PendingRequest.Reply], _ error: RedisError) {
        for reply in replies { loop.later { reply(.failure(error)) } }
    }

    /// Sends a command and calls `reply` exactly once, after this call has returned: with the answer, which may be
    /// `RedisReply.error`, with `timeout` when `budget` is over, or with the reason why it was not sent. An answer that comes too
    /// late is dropped. While nothing comes in, no budget outlasts `Limits.silence`.
    func send(
        _ arguments: [RedisArgument], budget: Duration = .milliseconds(50), reply: @escaping PendingRequest.Reply
    ) {
        send(atMost: arguments.boundBytes, budget: budget, reply: reply) { $0.append(command: arguments) }
    }

    /// Sends a command of at most `bytes` bytes that `write` appends, so that a frequent command need not be made into arguments
    /// first. Calls `reply` as `send(_:budget:reply:)` does.
    func send(
        atMost bytes: Int, budget: Duration, reply: @escaping PendingRequest.Reply,
        _ write: (inout ByteBuffer) -> Void
    ) {
        guard isReady else { return refuse(reply, .notConnected) }
        guard pending.count < limits.outstandingRequests, bytes <= limits.outputBytes - output.count else {
            return refuse(reply, .overloaded)
        }
        // The current time rather than the turn's: Redis is not to blame for what the turn has taken so far.
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
        // The answers that are due may be among those that wait to be delivered.
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

    /// Tries the next of the addresses. If there is none left, the attempt has failed for `reason`.
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

    /// Sends the greeting. Its last answer means that Redis is ready.
    private func greet() {
        state = .greeting
        reader = RedisReplyReader(passingOver: ownBeginning)
        lastHeard = SystemClock.instant
        for step in RedisGreeting.steps(settings) {
            // `Limits.silence` bounds how long Redis may take.
            let never = Instant(nanoseconds: .max)
            let request = PendingRequest(sentAt: SystemClock.instant, deadline: never) { [weak self] result in
                guard let self, case .success(let reply) = result else { return }
                if case .error(let text) = reply, let reason = step.refusal(text) { return lose(reason) }
                if step.isLast { becomeReady() }
            }
            enqueue(request) { $0.append(command: step.command) }
        }
        flush()
    }

    private func becomeReady() {
        state = .ready(since: SystemClock.instant)
        reported = nil
        log(.info, "Redis is connected (\(settings)).")
        whenReady()
    }

    // MARK: Losing the connection

    /// Ends this connection, or this attempt, for a reason (a sentence), and schedules the next attempt.
    private func lose(_ reason: String) {
        let now = SystemClock.instant
        if case .ready(let since) = state { backoff.lost(after: now - since) }
        let untold = disconnect()
        figures.losses += 1
        let until = now + backoff.nextDelay()
        state = .waiting(until: until)
        wake(by: until)
        if reported != reason {
            reported = reason
            log(.warning, "Redis (\(settings)) is not available and is tried again until it is: \(reason)")
        }
        tell(untold, .connectionLost)
    }

    /// Lets go of the socket and of everything that belongs to this connection. Returns the replies that have not been called.
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
            // Redis may have said why before it closed the connection.
            receive(at: SystemClock.instant)
            if self.socketToken == socketToken { lose(error.description) }
            return
        }
        isOutputBlocked = !output.isEmpty
        if !isOutputBlocked { output.removeAll(keepingCapacity: output.capacity <= 65_536) }
        loop.setInterest(isOutputBlocked ? [.read, .write] : .read, for: socketToken)
    }

    private func receive(at now: Instant) {
        // hiredis moves its buffer with each KiB that it has consumed, so a subscriber, which receives all the time, feeds it little.
        let atOnce = pushHandler == nil ? 65_536 : 8_192
        var left = limits.receiveBytesPerTurn
        let reader = reader
        // A reply may close this connection, or open another one.
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

    /// Delivers the rest in a later turn; nothing more is received before.
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
    /// True for a message of a channel. No command of a subscriber is answered by such an array.
    fileprivate var isPush: Bool {
        guard case .array(let elements) = self, case .string(let kind)? = elements.first else { return false }
        return kind.elementsEqual("message".utf8) || kind.elementsEqual("pmessage".utf8)
    }
}
