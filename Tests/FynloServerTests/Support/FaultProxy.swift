import FynloCore
import FynloIO
import Testing

/// Stands between clients and a server and passes the bytes on: changed, not at all, or not for long.
final class FaultProxy: EventSource {
    /// Changes what clients send.
    var toServer: (inout [UInt8]) -> Void = { _ in }
    /// Changes what the server sends.
    var toClient: (inout [UInt8]) -> Void = { _ in }
    /// Connections on which nothing was sent for so long are cut.
    var idleLimit: Duration?

    fileprivate let loop: EventLoop
    private let listener: Listener
    private let target: SocketAddress
    private var token: SourceToken?
    private var pairs: [FaultPair] = []

    init(loop: EventLoop, to target: SocketAddress) throws {
        self.loop = loop
        self.target = target
        listener = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        token = try loop.add(self, descriptor: listener.fileDescriptor, interest: .read)
    }

    var address: SocketAddress { listener.localAddress }

    func ready(_ readiness: Readiness, now: Moment) {
        do {
            while let accepted = try listener.accept() {
                let pair = FaultPair(self)
                pairs.append(pair)
                try pair.open(accepted.takeDescriptor(), Socket.nonBlockingConnect(to: target))
            }
        } catch {
            Issue.record(error)
        }
    }

    func close() {
        for pair in pairs { pair.close() }
        if let token { loop.remove(token) }
        token = nil
    }
}

/// One client's connection, and that to the server behind it.
private final class FaultPair {
    fileprivate unowned let proxy: FaultProxy
    private var near: FaultEnd?
    private var far: FaultEnd?
    private(set) var lastActivity: Instant

    init(_ proxy: FaultProxy) {
        self.proxy = proxy
        lastActivity = SystemClock.instant
    }

    func open(_ near: consuming FileDescriptor, _ far: consuming FileDescriptor) throws {
        self.near = try FaultEnd(near, self)
        self.far = try FaultEnd(far, self)
    }

    func pass(_ bytes: [UInt8], from end: FaultEnd) {
        lastActivity = SystemClock.instant
        var bytes = bytes
        if end === near {
            proxy.toServer(&bytes)
            far?.send(bytes)
        } else {
            proxy.toClient(&bytes)
            near?.send(bytes)
        }
    }

    func close() {
        near?.close()
        far?.close()
    }
}

/// One of its sockets.
private final class FaultEnd: EventSource {
    /// The proxy keeps it.
    private weak var pair: FaultPair?
    private let loop: EventLoop
    private let idleLimit: Duration?
    private var descriptor: FileDescriptor?
    private var token: SourceToken?
    private var output = ByteBuffer()

    init(_ descriptor: consuming FileDescriptor, _ pair: FaultPair) throws {
        self.pair = pair
        loop = pair.proxy.loop
        idleLimit = pair.proxy.idleLimit
        let number = descriptor.rawValue
        self.descriptor = consume descriptor
        let token = try loop.add(self, descriptor: number, interest: [.read, .write])
        self.token = token
        if let idleLimit { loop.wake(token, by: SystemClock.instant + idleLimit) }
    }

    func ready(_ readiness: Readiness, now: Moment) {
        guard let number = descriptor?.rawValue else { return }
        if readiness.contains(.write) { write() }
        guard readiness.contains(.read) || readiness.contains(.hangup) else { return }
        var input = ByteBuffer()
        switch try? Socket.receive(number, into: &input, limit: 65_536) {
        case .bytes: pair?.pass(input.bytes(), from: self)
        case .wouldBlock: break
        case .endOfStream, nil: pair?.close()
        }
    }

    func tick(now: Moment) -> Instant? {
        guard let pair, let idleLimit else { return nil }
        if now.instant - pair.lastActivity < idleLimit { return pair.lastActivity + idleLimit }
        pair.close()
        return nil
    }

    func send(_ bytes: [UInt8]) {
        output.append(bytes)
        write()
    }

    private func write() {
        guard let number = descriptor?.rawValue, let token else { return }
        // A connection that is not there yet, or no more, takes nothing.
        _ = try? Socket.send(number, from: &output)
        loop.setInterest(output.isEmpty ? .read : [.read, .write], for: token)
    }

    func close() {
        if let token { loop.remove(token) }
        token = nil
        descriptor = nil
    }
}
