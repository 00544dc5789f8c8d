import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// Stands between those who connect and a server, and passes the bytes on, until it is told to be silent or to hang up.
class Proxy: EventSource {
    /// Takes nothing and passes nothing on, as a network that was cut. New connections are accepted all the same.
    var isSilent = false { didSet { for pair in pairs { pair.setInterest() } } }
    /// Passes on what is asked, and keeps back what is answered.
    var holdsAnswers = false { didSet { for pair in pairs { pair.setInterest() } } }
    /// Takes connections and ends them at once, as a port that nobody listens to.
    var refuses = false
    /// Where the next connections go.
    var target: SocketAddress
    /// How often somebody connected.
    private(set) var connectionCount = 0

    fileprivate let loop: EventLoop
    private let listener: Listener
    private var token: SourceToken?
    fileprivate var pairs: [ProxyPair] = []

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
                connectionCount += 1
                if refuses { continue }
                let pair = ProxyPair(self)
                pairs.append(pair)
                do {
                    try pair.open(accepted.takeDescriptor(), Socket.nonBlockingConnect(to: target))
                } catch is SystemError {
                    // Nobody is there: whoever has come finds out.
                    pair.close()
                }
            }
        } catch {
            Issue.record(error)
        }
    }

    /// Ends all connections at once.
    func hangUp() {
        for pair in pairs { pair.close() }
    }

    func close() {
        hangUp()
        if let token { loop.remove(token) }
        token = nil
    }
}

/// A proxy in front of the tests' PostgreSQL.
final class DatabaseProxy: Proxy {
    private let user: String
    private let query: String

    init(loop: EventLoop, to database: TestDatabase) throws {
        let folder = try #require(try database.value("show unix_socket_directories"))
        let port = try #require(try database.value("show port"))
        let target = try SocketAddress.unix("\(folder)/.s.PGSQL.\(port)")
        let user = try #require(try database.value("select current_user"))
        let name = try #require(try database.value("select current_database()"))
        let options = String(database.url.split(separator: "options=").last ?? "")
        query = "/\(name)?sslmode=disable&gssencmode=disable&options=\(options)"
        self.user = user
        try super.init(loop: loop, to: target)
    }

    /// For DATABASE_URL.
    var url: String { "postgresql://\(user)@127.0.0.1:\(address.port)\(query)" }
}

/// One connection, and that to the server behind it.
private final class ProxyPair {
    private unowned let proxy: Proxy
    private var near: ProxyEnd?
    private var far: ProxyEnd?

    init(_ proxy: Proxy) {
        self.proxy = proxy
    }

    /// Is what comes from this end to be left alone?
    func holds(_ end: ProxyEnd) -> Bool { proxy.isSilent || proxy.holdsAnswers && end === far }

    func open(_ near: consuming FileDescriptor, _ far: consuming FileDescriptor) throws {
        self.near = try ProxyEnd(near, self, proxy.loop)
        self.far = try ProxyEnd(far, self, proxy.loop)
    }

    func other(than end: ProxyEnd) -> ProxyEnd? { end === near ? far : near }

    func setInterest() {
        near?.setInterest()
        far?.setInterest()
    }

    func close() {
        near?.close()
        far?.close()
        (near, far) = (nil, nil)
        proxy.pairs.removeAll { $0 === self }
    }
}

private final class ProxyEnd: EventSource {
    private let loop: EventLoop
    private weak var pair: ProxyPair?
    private var descriptor: FileDescriptor?
    private var token: SourceToken?
    private var outbound = ByteBuffer()

    init(_ descriptor: consuming FileDescriptor, _ pair: ProxyPair, _ loop: EventLoop) throws {
        self.loop = loop
        self.pair = pair
        let number = descriptor.rawValue
        self.descriptor = consume descriptor
        token = try loop.add(self, descriptor: number, interest: .read)
    }

    func ready(_ readiness: Readiness, now: Moment) {
        guard let number = descriptor?.rawValue, let pair, let other = pair.other(than: self) else { return }
        do {
            if readiness.contains(.write) { try flush() }
            guard readiness.contains(.read), !pair.holds(self) else { return }
            if case .endOfStream = try Socket.receive(number, into: &other.outbound, limit: 65_536) {
                // What it said last is passed on first.
                try other.flush()
                return pair.close()
            }
            try other.flush()
        } catch {
            pair.close()
        }
    }

    private func flush() throws {
        if let number = descriptor?.rawValue { _ = try Socket.send(number, from: &outbound) }
        setInterest()
    }

    func setInterest() {
        guard let token, let pair else { return }
        var interest: Interest = pair.holds(self) ? [] : .read
        if !outbound.isEmpty { interest.insert(.write) }
        loop.setInterest(interest, for: token)
    }

    func close() {
        if let token { loop.remove(token) }
        token = nil
        descriptor = nil
    }
}
