// A listening socket.

import CLinux
import Glibc

/// A listening socket. Several processes may listen on one port: the kernel spreads the clients over them.
public final class Listener {
    /// How many clients may wait to be accepted; the kernel lowers it to net.core.somaxconn.
    private static let backlog: Int32 = 4096

    private let descriptor: FileDescriptor
    /// Where it listens. If port 0 was asked for, this has the port the kernel chose.
    public let localAddress: SocketAddress
    /// True if another process opened it and may keep it: clients in its queue then outlive this process.
    public let isInherited: Bool

    /// Binds and listens. IPv6 listeners take IPv6 clients only, except `[::]`, which takes both kinds.
    public init(_ address: SocketAddress) throws(SystemError) {
        let socket = try Socket.open(address)
        if address.family != .unix {
            try Self.set(SO_REUSEADDR, SOL_SOCKET, on: socket)
            try Self.set(SO_REUSEPORT, SOL_SOCKET, on: socket)
        }
        if address.family == .ipv6 {
            try Self.set(IPV6_V6ONLY, Int32(IPPROTO_IPV6), to: address.isUnspecified ? 0 : 1, on: socket)
        }
        let status = address.withSockaddr { bind(socket.rawValue, $0, $1) }
        guard status == 0 else { throw .last("bind", subject: address.description) }
        Socket.setNoDelay(socket.rawValue)
        guard listen(socket.rawValue, Self.backlog) == 0 else { throw .last("listen", subject: address.description) }
        localAddress = Socket.localAddress(of: socket.rawValue) ?? address
        descriptor = socket
        isInherited = false
    }

    /// Takes over another process' listening socket, which `problem` has found to be usable.
    init(inheriting socket: consuming FileDescriptor, address: SocketAddress) {
        let flags = fcntl(socket.rawValue, F_GETFL)
        _ = fcntl(socket.rawValue, F_SETFL, flags | O_NONBLOCK)
        _ = fcntl(socket.rawValue, F_SETFD, FD_CLOEXEC)
        localAddress = address
        descriptor = socket
        isInherited = true
    }

    /// Why clients cannot be accepted on a descriptor; `nil` if they can. Completes a sentence that begins with the descriptor.
    static func problem(of descriptor: Int32) -> String? {
        guard fcntl(descriptor, F_GETFD) >= 0 else { return "it is not open" }
        guard let type = option(SO_TYPE, of: descriptor) else { return "it is not a socket" }
        guard type == Int32(bitPattern: SOCK_STREAM.rawValue) else { return "it is not a stream socket" }
        guard option(SO_ACCEPTCONN, of: descriptor) == 1 else { return "it does not listen" }
        return nil
    }

    private static func option(_ option: Int32, of descriptor: Int32) -> Int32? {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, option, &value, &size) == 0 ? value : nil
    }

    /// The descriptor, for the event loop. Valid while the listener lives.
    public var fileDescriptor: Int32 { descriptor.rawValue }

    /// The next client, with a non-blocking socket that has TCP_NODELAY; nil if none is waiting. Clients that gave up while
    /// they waited are skipped. If the error `isResourceExhaustion`, the client is still waiting and the listener stays
    /// readable.
    public func accept() throws(SystemError) -> AcceptedSocket? {
        while true {
            let flags = Int32(bitPattern: SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
            let (number, peer) = SocketAddress.filled { accept4(descriptor.rawValue, $0, $1, flags) }
            if number >= 0 {
                let socket = FileDescriptor(owning: number)
                // Linux copies the option from the listener. In an inherited one, clients may have connected before it was set.
                if isInherited { Socket.setNoDelay(number) }
                if let peer { return AcceptedSocket(socket, peer: peer) }
                continue
            }
            let code = errno
            switch code {
            case EAGAIN:
                return nil
            case EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH:
                // accept(2): errors of the waiting connection, which is now gone.
                continue
            default:
                throw .call("accept4", code: code)
            }
        }
    }

    private static func set(
        _ option: Int32, _ level: Int32, to value: Int32 = 1, on socket: borrowing FileDescriptor
    ) throws(SystemError) {
        var value = value
        let size = socklen_t(MemoryLayout<Int32>.size)
        guard setsockopt(socket.rawValue, level, option, &value, size) == 0 else { throw .last("setsockopt") }
    }
}

/// A client that has been accepted.
public struct AcceptedSocket: ~Copyable {
    private let descriptor: FileDescriptor
    /// Its address.
    public let peer: SocketAddress

    init(_ descriptor: consuming FileDescriptor, peer: SocketAddress) {
        self.descriptor = descriptor
        self.peer = peer
    }

    /// Gives its socket away; read `peer` first.
    public consuming func takeDescriptor() -> FileDescriptor {
        descriptor
    }
}
