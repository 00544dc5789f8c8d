// A socket on which clients arrive.

import CLinux
import Glibc

/// A listening socket. Several processes may listen on one port: the kernel spreads the clients over them.
public final class Listener {
    /// How many clients may wait to be accepted; the kernel lowers it to net.core.somaxconn.
    private static let backlog: Int32 = 4096

    private let descriptor: FileDescriptor
    /// Where it listens, with the port the kernel chose if it was asked for port 0.
    public let localAddress: SocketAddress
    /// It was opened by another process, which may keep it: who waits in it does not depend on this one.
    public let isInherited: Bool

    /// Binds and listens. IPv6 listeners are for IPv6 only, but for `[::]`, which takes clients of both kinds.
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

    /// Goes on listening on a socket of another process, in which `problem` has found nothing.
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

    /// For the event loop; good while the listener lives.
    public var fileDescriptor: Int32 { descriptor.rawValue }

    /// The next client, its socket non-blocking and without delay (TCP_NODELAY); nil when none is waiting. Clients that gave
    /// up while they waited are passed over. When the error `isResourceExhaustion` the client is still waiting, and the
    /// listener stays readable.
    public func accept() throws(SystemError) -> AcceptedSocket? {
        while true {
            let flags = Int32(bitPattern: SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
            let (number, peer) = SocketAddress.filled { accept4(descriptor.rawValue, $0, $1, flags) }
            if number >= 0 {
                let socket = FileDescriptor(owning: number)
                // Linux hands it on from a listener of ours; in an inherited one clients may have waited before it was ours.
                if isInherited { Socket.setNoDelay(number) }
                if let peer { return AcceptedSocket(socket, peer: peer) }
                continue
            }
            let code = errno
            switch code {
            case EAGAIN:
                return nil
            case EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH:
                // accept(2): errors of the connection that was waiting, which is gone now.
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

    /// The owner of its socket; read `peer` before.
    public consuming func takeDescriptor() -> FileDescriptor {
        descriptor
    }
}
