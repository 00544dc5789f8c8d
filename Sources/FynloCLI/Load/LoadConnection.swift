// One connection of a load test: a ClientStack until it is authenticated; then, in scenarios that measure every message, the bare
// WebSocket. One read and one write per wake-up.

import FynloClient
import FynloCore
import FynloIO

/// A tablet's connection. It may be opened again after it has ended.
final class LoadConnection: EventSource {
    let index: Int
    let account: LoadAccount
    /// Pings without an answer yet.
    var inFlight = 0
    /// Pings that were lost with the connection.
    private(set) var lostInFlight = 0
    /// The number of attempts since it was last authenticated.
    private(set) var attempts = 0
    /// When it was lost, or the first attempt began.
    private(set) var awaySince: Instant

    private unowned let run: LoadRun
    private let identity: ClientIdentity
    private var descriptor: FileDescriptor?
    private var token: SourceToken?
    /// True until the kernel says whether the connection succeeded.
    private var isDialing = false
    private var stack: ClientStack?
    private var webSocket: WebSocketConnection?
    private var tls: TLSEngine?
    private var deadline = Instant(nanoseconds: .max)
    /// Received bytes that are not used yet.
    private var leftover = ByteBuffer()
    private var output = ByteBuffer()
    private var ciphertext = ByteBuffer()
    private var isBlocked = false
    private(set) var isIn = false
    private var begunAt: Instant

    init(index: Int, account: LoadAccount, run: LoadRun, now: Instant) {
        self.index = index
        self.account = account
        self.run = run
        begunAt = now
        awaySince = now
        identity = ClientIdentity(
            authority: run.plan.server.server.authority, pathPrefix: run.plan.server.server.pathPrefix,
            restaurant: account.restaurant, client: run.plan.clientType, user: account.user, token: account.token,
            deviceID: LoadConnection.device(index, of: run.name), clientVersion: "fynlo load \(fynloVersion)")
    }

    /// A UUID as a device id: eight digits are the run's, twelve the tablet's.
    private static func device(_ index: Int, of run: String) -> String {
        let digits = String(index)
        return "\(run)-0000-4000-8000-" + String(repeating: "0", count: max(0, 12 - digits.count)) + digits
    }

    // MARK: Connecting

    /// Begins an attempt.
    func open(now: Moment) {
        guard descriptor == nil else { return }
        attempts += 1
        begunAt = now.instant
        deadline = now.instant + run.plan.timeout
        do throws(SystemError) {
            let socket = try Socket.nonBlockingConnect(to: run.target, from: run.source(of: index))
            let token = try run.loop.add(self, descriptor: socket.rawValue, interest: .write)
            Socket.setNoDelay(socket.rawValue)
            self.token = token
            descriptor = consume socket
            isDialing = true
            var limits = run.limits
            limits.connectTimeout = run.plan.timeout
            limits.authenticationTimeout = run.plan.timeout
            stack = ClientStack(identity: identity, limits: limits, using: &run.generator, now: now)
            run.loop.wake(token, by: deadline)
        } catch {
            end("connect: " + LoadConnection.words(error), after: nil)
        }
    }

    private func dialed(now: Moment) {
        guard let number = descriptor?.rawValue, let token else { return }
        if let error = Socket.pendingError(of: number) {
            return end("connect: " + LoadConnection.words(error), after: nil)
        }
        isDialing = false
        if let context = run.tls {
            do throws(TLSError) {
                let engine = try TLSEngine(client: context, host: run.plan.server.server.host)
                try engine.start(output: &ciphertext)
                tls = engine
            } catch {
                return end("tls: \(error)", after: nil)
            }
        }
        stack?.opened(output: &output)
        run.loop.setInterest(.read, for: token)
        flush()
    }

    // MARK: Reading

    func ready(_ readiness: Readiness, now: Moment) {
        if isDialing { return dialed(now: now) }
        if readiness.contains(.write) { flush() }
        guard readiness.contains(.read) || readiness.contains(.hangup) else { return }
        guard let number = descriptor?.rawValue else { return }
        var input = run.borrowBuffer()
        defer { run.returnBuffer(input) }
        if !leftover.isEmpty {
            input.append(leftover)
            leftover.removeAll()
        }
        do {
            switch try receive(number, into: &input) {
            case .bytes: process(&input, now: SystemClock.now)
            case .wouldBlock: break
            case .endOfStream: return endOfInput()
            }
        } catch let error as SystemError {
            return end("lost: " + LoadConnection.words(error), after: nil)
        } catch {
            return end("tls: \(error)", after: nil)
        }
        guard descriptor != nil else { return }
        if !input.isEmpty { leftover = ByteBuffer(input.bytes()) }
        flush()
    }

    private func receive(_ number: Int32, into input: inout ByteBuffer) throws -> Socket.Received {
        guard let tls else { return try Socket.receive(number, into: &input, limit: LoadRun.readBytes) }
        var encrypted = run.borrowBuffer()
        defer { run.returnBuffer(encrypted) }
        let received = try Socket.receive(number, into: &encrypted, limit: LoadRun.readBytes)
        if case .bytes = received { try tls.receive(&encrypted, plaintext: &input, output: &ciphertext) }
        return received
    }

    private func process(_ input: inout ByteBuffer, now: Moment) {
        if webSocket != nil { return processMessages(&input, now: now) }
        stack?.receive(&input, now: now, output: &output, events: &run.events)
        handleEvents(now: now)
        if webSocket != nil { processMessages(&input, now: now) }
    }

    private func handleEvents(now: Moment) {
        guard !run.events.isEmpty else { return wake() }
        var events: [ClientEvent] = []
        swap(&events, &run.events)
        defer {
            events.removeAll(keepingCapacity: true)
            swap(&events, &run.events)
        }
        for event in events {
            switch event {
            case .connected:
                isIn = true
                if run.takesWebSockets { webSocket = stack?.takeWebSocket() }
                if webSocket != nil { stack = nil }
                let began = begunAt
                run.joined(self, took: now.instant - began, now: now)
                attempts = 0
            case .closed(let closure):
                // 1006 is an end without a close frame, which includes a refused upgrade.
                let isTold = closure.code == WebSocketCloseCode.abnormalClosure
                let reason = closure.refusal.map(\.code) ?? (isTold ? closure.reason : nil)
                return end("closed: \(closure.code)" + (reason.map { " (\($0))" } ?? ""), after: closure)
            case .pong(let roundTrip, _):
                if let roundTrip { run.scenario.heartbeat(roundTrip) }
            case .pongMissed:
                run.scenario.heartbeat(nil)
            case .message, .unreadable, .answered, .error, .reauthenticated, .reauthenticationRefused:
                break
            }
        }
        wake()
    }

    private func processMessages(_ input: inout ByteBuffer, now: Moment) {
        while let event = webSocket?.next(&input, now: now, output: &output) {
            switch event {
            case .message(let message):
                message.withPayload(in: input) { run.scenario.received($0, on: self, now: now) }
            case .ping, .pong: break
            case .closing(let code, _): return end("closed: \(code ?? 1005)", after: nil)
            case .failed(let code, let reason): return end("protocol: \(code) \(reason)", after: nil)
            }
        }
    }

    private func endOfInput() {
        guard stack != nil else { return end("lost: end of the stream", after: nil) }
        stack?.endOfInput(events: &run.events)
        handleEvents(now: SystemClock.now)
    }

    // MARK: Writing

    /// Queues a message; `flush` sends it with everything else that is queued.
    func say(_ writePayload: (inout ByteBuffer) -> Void) {
        webSocket?.sendText(to: &output, writePayload)
    }

    /// Writes what is queued.
    func flush() {
        guard let number = descriptor?.rawValue, let token, !isDialing else { return }
        do {
            if let tls {
                if tls.isEstablished, ciphertext.isEmpty, !output.isEmpty {
                    try tls.send(&output, limit: 65_536, output: &ciphertext)
                }
                _ = try Socket.send(number, from: &ciphertext)
            } else if !output.isEmpty {
                _ = try Socket.send(number, from: &output)
            }
        } catch let error as SystemError {
            return end("lost: " + LoadConnection.words(error), after: nil)
        } catch {
            return end("tls: \(error)", after: nil)
        }
        let mustWait = !ciphertext.isEmpty || !output.isEmpty && tls?.isEstablished != false
        if mustWait != isBlocked {
            isBlocked = mustWait
            run.loop.setInterest(mustWait ? [.read, .write] : .read, for: token)
        }
        // Most connections are idle most of the time: only busy ones keep their memory.
        if output.isEmpty, !run.takesWebSockets { output.removeAll() }
    }

    // MARK: Time

    private func wake() {
        guard let token else { return }
        run.loop.wake(token, by: isIn ? stack?.nextDeadline ?? deadline : deadline)
    }

    func tick(now: Moment) -> Instant? {
        guard descriptor != nil else { return nil }
        if isIn {
            guard stack != nil else { return nil }
            stack?.tick(now: now, output: &output, events: &run.events)
            handleEvents(now: now)
            flush()
            return stack?.nextDeadline
        }
        guard now.instant >= deadline else { return deadline }
        end(isDialing ? "connect: time-out" : "authenticate: time-out", after: nil)
        return nil
    }

    // MARK: The end

    /// Closes without a close frame, as when a network fails.
    func drop(now: Instant) {
        awaySince = now
        if let descriptor = leave() { Socket.abortiveClose(descriptor) }
    }

    /// Closes properly: writes the close frame if the kernel accepts it at once.
    func close() {
        webSocket?.close(code: WebSocketCloseCode.normal, reason: "", now: run.loop.now, output: &output)
        stack?.close(now: run.loop.now, output: &output, events: &run.events)
        run.events.removeAll(keepingCapacity: true)
        flush()
        _ = leave()
    }

    private func end(_ kind: String, after closure: ClientClosure?) {
        let wasIn = isIn
        lostInFlight += inFlight
        if let descriptor = leave() { descriptor.close() }
        run.ended(self, kind, wasIn: wasIn, closure: closure)
    }

    private func leave() -> FileDescriptor? {
        if let token { run.loop.remove(token) }
        token = nil
        isDialing = false
        isBlocked = false
        isIn = false
        inFlight = 0
        stack = nil
        webSocket = nil
        tls = nil
        leftover.removeAll()
        output.removeAll()
        ciphertext.removeAll()
        return descriptor.take()
    }

    /// The kind of an error, the same for all connections.
    private static func words(_ error: SystemError) -> String {
        guard case .call(let name, let code, _) = error else { return error.description }
        return "\(name) errno \(code) (\(SystemError.text(of: code)))"
    }
}
