import FynloCore
import Glibc
import Testing

@testable import FynloIO

@Suite("Socket")
struct SocketTests {
    @Test("receives bytes up to the limit, then nothing yet, then the end")
    func receiving() throws {
        let (near, far) = try makePair()
        var buffer = ByteBuffer()
        #expect(try Socket.receive(near.number, into: &buffer, limit: 100) == .wouldBlock)
        try write("hello", to: far)
        #expect(try Socket.receive(near.number, into: &buffer, limit: 3) == .bytes(3))
        #expect(try Socket.receive(near.number, into: &buffer, limit: 100) == .bytes(2))
        #expect(buffer.bytes() == Array("hello".utf8))
        #expect(try Socket.receive(near.number, into: &buffer, limit: 0) == .wouldBlock)
        far.close()
        #expect(try Socket.receive(near.number, into: &buffer, limit: 100) == .endOfStream)
        #expect(buffer.count == 5)
    }

    @Test("sends what the kernel accepts, and the rest in order once it accepts bytes again")
    func partialSends() throws {
        let (near, far) = try makeConnection()
        let loop = try EventLoop()
        defer { loop.close() }
        var small: Int32 = 65_536
        setsockopt(near.number, SOL_SOCKET, SO_SNDBUF, &small, socklen_t(MemoryLayout<Int32>.size))
        let sent = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        var output = ByteBuffer(sent)
        var partial = 0
        while case .sent(let count) = try Socket.send(near.number, from: &output), count > 0 { partial += count }
        #expect(partial > 0 && partial < sent.count && output.count == sent.count - partial)
        #expect(try #require(Socket.sendQueueBytes(near.number)) > 0)

        var input = ByteBuffer()
        let reader = Probe()
        reader.onReady = { _ in _ = try? Socket.receive(far.number, into: &input, limit: 65_536) }
        _ = try loop.add(reader, descriptor: far.number, interest: .read)
        let writer = Probe()
        var token: SourceToken?
        writer.onReady = { [unowned loop] _ in
            _ = try? Socket.send(near.number, from: &output)
            if output.isEmpty, let token { loop.setInterest([], for: token) }
        }
        token = try loop.add(writer, descriptor: near.number, interest: .write)
        #expect(try loop.run(until: { input.count == sent.count }, for: .seconds(20)))
        #expect(input.bytes() == sent)
        #expect(try Socket.send(near.number, from: &output) == .sent(0))
    }

    @Test("knows the round trip of a connection, and has none for any other descriptor")
    func roundTrip() throws {
        let (near, far) = try makeConnection()
        let roundTrip = try #require(Socket.roundTrip(of: near.number))
        #expect(roundTrip > .zero && roundTrip < .seconds(1))
        let (local, _) = try makePair()
        #expect(Socket.roundTrip(of: local.number) == nil && Socket.roundTrip(of: -1) == nil)
        _ = far
    }

    @Test("a peer that reset the connection is an error, not the end of the process")
    func reset() throws {
        let (client, server) = try makeConnection()
        client.reset()
        let loop = try EventLoop()
        defer { loop.close() }
        let probe = Probe()
        let token = try loop.add(probe, descriptor: server.number, interest: .read)
        #expect(try loop.run(until: { !probe.readiness.isEmpty }, for: .seconds(5)))
        loop.remove(token)
        var buffer = ByteBuffer()
        #expect(throws: SystemError.call("recv", code: ECONNRESET)) {
            try Socket.receive(server.number, into: &buffer, limit: 100)
        }
        var output = ByteBuffer("x")
        let error = #expect(throws: SystemError.self) { try Socket.send(server.number, from: &output) }
        #expect(error == .call("send", code: EPIPE))
        #expect(error?.isDisconnect == true && error?.isResourceExhaustion == false)
        #expect(output.count == 1)
    }

    @Test("sending to a peer that has gone raises no signal, where write does")
    func brokenPipe() throws {
        // Blocked, the signal stays pending for this thread, where it can be seen.
        var pipeSignal = sigset_t()
        var previous = sigset_t()
        sigemptyset(&pipeSignal)
        sigaddset(&pipeSignal, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &pipeSignal, &previous)
        defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
        let (near, far) = try makePair()
        far.close()

        var output = ByteBuffer("x")
        #expect(throws: SystemError.call("send", code: EPIPE)) { try Socket.send(near.number, from: &output) }
        #expect(takePending(&pipeSignal) == nil)
        #expect(Glibc.write(near.number, "x", 1) == -1)
        #expect(takePending(&pipeSignal) == SIGPIPE)
    }

    @Test("connects from the address it is told to, and from none that is not this machine's")
    func source() throws {
        let listener = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        let own = try #require(SocketAddress(host: "127.0.0.2", port: 0))
        let socket = try Socket.nonBlockingConnect(to: listener.localAddress, from: own)
        var ready = pollfd(fd: socket.rawValue, events: Int16(POLLOUT), revents: 0)
        #expect(poll(&ready, 1, 10_000) == 1)
        guard let client = try listener.accept() else {
            Issue.record("nobody came")
            return
        }
        #expect(client.peer.hostText == "127.0.0.2")
        let others = try #require(SocketAddress(host: "192.0.2.1", port: 0))
        #expect(throws: SystemError.self) { _ = try Socket.nonBlockingConnect(to: listener.localAddress, from: others) }
    }

    @Test("a refused connection is found by the pending error, once")
    func refused() throws {
        let address: SocketAddress
        do {
            address = try Listener(SocketAddress(parsing: "127.0.0.1:0")).localAddress
        }
        let client: Owned
        do {
            client = try Owned(Socket.nonBlockingConnect(to: address))
        } catch {
            #expect(error.code == ECONNREFUSED)
            return
        }
        let loop = try EventLoop()
        defer { loop.close() }
        let probe = Probe()
        _ = try loop.add(probe, descriptor: client.number, interest: .write)
        #expect(try loop.run(until: { !probe.readiness.isEmpty }, for: .seconds(5)))
        #expect(Socket.pendingError(of: client.number)?.code == ECONNREFUSED)
        #expect(Socket.pendingError(of: client.number) == nil)
    }

    @Test("accepts all waiting clients and then none", arguments: ["127.0.0.1:0", "[::1]:0", "[::]:0", ":0"])
    func accepting(_ text: String) throws {
        let listener = try Listener(SocketAddress(parsing: text))
        #expect(listener.localAddress.port != 0)
        if let none = try listener.accept() { Issue.record("nobody has come, but \(none.peer)") }
        let host = text.hasPrefix("[::1") ? "::1" : "127.0.0.1"
        let target = try #require(SocketAddress(host: host, port: listener.localAddress.port))
        let clients = try (0..<3).map { _ in try Owned(Socket.nonBlockingConnect(to: target)) }
        let loop = try EventLoop()
        defer { loop.close() }
        let probe = Probe()
        var peers: [SocketAddress] = []
        probe.onReady = { _ in
            while let accepted = try? listener.accept() {
                peers.append(accepted.peer)
                let descriptor = accepted.takeDescriptor()
                #expect(isWithoutDelay(descriptor.rawValue))
                #expect(fcntl(descriptor.rawValue, F_GETFL) & O_NONBLOCK != 0)
                #expect(fcntl(descriptor.rawValue, F_GETFD) & FD_CLOEXEC != 0)
            }
        }
        _ = try loop.add(probe, descriptor: listener.fileDescriptor, interest: .read)
        #expect(try loop.run(until: { peers.count == 3 }, for: .seconds(5)))
        #expect(peers.allSatisfy { $0.isLoopback && $0.hostText == host })
        #expect(Set(peers.map(\.port)) == Set(clients.compactMap { Socket.localAddress(of: $0.number)?.port }))
    }

    private func isWithoutDelay(_ socket: Int32) -> Bool {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &value, &size) == 0 && value != 0
    }

    @Test("a client that waited in a socket before it was inherited is served without delay")
    func inherited() throws {
        var local = try #require(SocketAddress(host: "127.0.0.1", port: 0))
        let other = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        try #require(local.withSockaddr { bind(other, $0, $1) } == 0 && listen(other, 1) == 0)
        local = try #require(Socket.localAddress(of: other))
        let client = try Owned(Socket.nonBlockingConnect(to: local))
        let listener = Listener(inheriting: FileDescriptor(owning: other), address: local)
        let loop = try EventLoop()
        defer { loop.close() }
        let probe = Probe()
        var answers: [Bool] = []
        probe.onReady = { _ in
            guard let accepted = try? listener.accept() else { return }
            let descriptor = accepted.takeDescriptor()
            answers.append(isWithoutDelay(descriptor.rawValue))
        }
        _ = try loop.add(probe, descriptor: listener.fileDescriptor, interest: .read)
        #expect(try loop.run(until: { !answers.isEmpty }, for: .seconds(5)))
        #expect(answers == [true] && client.number >= 0)
    }

    @Test("two listeners share a port; an address of another machine is refused in one sentence")
    func listening() throws {
        let first = try Listener(SocketAddress(parsing: "127.0.0.1:0"))
        let second = try Listener(first.localAddress)
        #expect(first.localAddress == second.localAddress)
        let error = #expect(throws: SystemError.self) { try Listener(SocketAddress(parsing: "192.0.2.1:0")) }
        #expect(
            error?.description
                == "The system call bind of 192.0.2.1:0 failed: Cannot assign requested address (errno 99).")
    }

    @Test(
        "the errors of a machine at its limits are told apart",
        arguments: [
            (EMFILE, true), (ENFILE, true), (ENOBUFS, true), (ENOMEM, true), (ECONNRESET, false), (EAGAIN, false),
        ])
    func exhaustion(_ code: Int32, _ expected: Bool) {
        #expect(SystemError.call("accept4", code: code).isResourceExhaustion == expected)
    }

    @Test("closes a descriptor once, and not at all after it was released")
    func ownership() throws {
        var numbers: [Int32] = [-1, -1]
        try #require(pipe(&numbers) == 0)
        let first = FileDescriptor(owning: numbers[0])
        let second = FileDescriptor(owning: numbers[1])
        #expect(second.release() == numbers[1])
        first.close()
        // The read end has gone and the write end has not: a poll for errors sees just that.
        var poll = pollfd(fd: numbers[1], events: 0, revents: 0)
        #expect(Glibc.poll(&poll, 1, 0) == 1 && poll.revents & Int16(POLLERR) != 0)
        _ = close(numbers[1])
    }
}
