// The few things done to connected sockets. They work on the bare number, as the owner is a property of somebody's class.

import CLinux
public import FynloCore
import Glibc

/// Calls on a non-blocking stream socket.
public enum Socket {
    /// What `receive` found.
    public enum Received: Equatable, Sendable {
        /// So many bytes were appended, at least one.
        case bytes(Int)
        /// The peer has sent all that it will.
        case endOfStream
        /// There is nothing now; wait to be `ready`.
        case wouldBlock
    }

    /// How far `send` came.
    public enum Sent: Equatable, Sendable {
        /// So many bytes were taken from the buffer's front; more are left if the kernel took only a part. 0 if there were none.
        case sent(Int)
        /// The kernel takes none now; ask for `Interest.write`.
        case wouldBlock
    }

    /// Starts to connect. The socket becomes writable when it is connected or has failed: then ask `pendingError`.
    ///
    /// - Parameter source: the own address, for who has several; its port is usually 0, any.
    public static func nonBlockingConnect(
        to address: SocketAddress, from source: SocketAddress? = nil
    ) throws(SystemError) -> FileDescriptor {
        let socket = try open(address)
        if let source {
            // The port is chosen when the peer is known: one port may then serve for connections to several.
            var on: Int32 = 1
            setsockopt(
                socket.rawValue, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, &on, socklen_t(MemoryLayout<Int32>.size))
            guard source.withSockaddr({ bind(socket.rawValue, $0, $1) }) == 0 else {
                throw .last("bind", subject: source.description)
            }
        }
        let status = address.withSockaddr { connect(socket.rawValue, $0, $1) }
        if status == 0 || errno == EINPROGRESS || errno == EINTR { return socket }
        throw .last("connect", subject: address.description)
    }

    /// A new stream socket for addresses like this one: non-blocking, closed on exec.
    static func open(_ address: SocketAddress) throws(SystemError) -> FileDescriptor {
        let type = Int32(bitPattern: SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let number = socket(address.domain, type, 0)
        guard number >= 0 else { throw .last("socket") }
        return FileDescriptor(owning: number)
    }

    /// Why connecting, or the connection, failed; nil if it has not. Asking clears it.
    public static func pendingError(of descriptor: Int32) -> SystemError? {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { return .last("getsockopt") }
        return code == 0 ? nil : .call("connect", code: code)
    }

    /// Sends small messages at once instead of waiting for more to send (TCP_NODELAY). Does nothing to other sockets.
    public static func setNoDelay(_ descriptor: Int32) {
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Appends what has come in, in one call and at most `limit` bytes (at least 1).
    public static func receive(
        _ descriptor: Int32, into buffer: inout ByteBuffer, limit: Int
    ) throws(SystemError) -> Received {
        let limit = max(limit, 1)
        var result = Received.wouldBlock
        var failure: Int32 = 0
        buffer.withWritable(atLeast: limit) { room in
            while true {
                let count = recv(descriptor, room.baseAddress, limit, 0)
                if count > 0 {
                    result = .bytes(count)
                    return count
                }
                if count == 0 {
                    result = .endOfStream
                    return 0
                }
                failure = errno
                if failure != EINTR { return 0 }
            }
        }
        if case .wouldBlock = result, failure != EAGAIN { throw .call("recv", code: failure) }
        return result
    }

    /// Gives the kernel the buffer's bytes, in one call, and takes from the buffer what it took. Never raises SIGPIPE.
    public static func send(_ descriptor: Int32, from buffer: inout ByteBuffer) throws(SystemError) -> Sent {
        guard !buffer.isEmpty else { return .sent(0) }
        var failure: Int32 = 0
        let count = buffer.consumeReadable { room in
            while true {
                let count = Glibc.send(descriptor, room.baseAddress, room.count, Int32(MSG_NOSIGNAL))
                if count >= 0 { return count }
                failure = errno
                if failure != EINTR { return 0 }
            }
        }
        if count > 0 { return .sent(count) }
        guard failure == EAGAIN else { throw .call("send", code: failure) }
        return .wouldBlock
    }

    /// Tells the peer that nothing more will come; reading goes on. Errors are of no interest: the connection has gone then.
    public static func shutdownWrite(_ descriptor: Int32) {
        _ = shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Closes with a reset: what is queued is thrown away, and the kernel keeps nothing of the connection.
    public static func abortiveClose(_ descriptor: consuming FileDescriptor) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor.rawValue, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        descriptor.close()
    }

    /// Bytes sent but not acknowledged by the peer yet; nil if the socket cannot tell.
    public static func sendQueueBytes(_ descriptor: Int32) -> Int? {
        var count: Int32 = 0
        guard ioctl(descriptor, cl_SIOCOUTQ, &count) == 0 else { return nil }
        return Int(count)
    }

    /// The time to the peer and back, as the kernel has smoothed it; nil if the socket cannot tell.
    public static func roundTrip(of descriptor: Int32) -> Duration? {
        var info = tcp_info()
        var length = socklen_t(MemoryLayout<tcp_info>.size)
        guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &length) == 0, info.tcpi_rtt > 0 else {
            return nil
        }
        return .microseconds(Int64(info.tcpi_rtt))
    }

    /// The own address of a socket; nil if it has none.
    public static func localAddress(of descriptor: Int32) -> SocketAddress? {
        SocketAddress.filled { getsockname(descriptor, $0, $1) }.address
    }

    /// The peer's address; nil when it is not connected.
    public static func peerAddress(of descriptor: Int32) -> SocketAddress? {
        SocketAddress.filled { getpeername(descriptor, $0, $1) }.address
    }
}
