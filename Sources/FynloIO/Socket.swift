// Calls on connected sockets. They take the descriptor's number, since its owner is a property of another class.

import CLinux
public import FynloCore
import Glibc

/// Calls on a non-blocking stream socket.
public enum Socket {
    /// What `receive` found.
    public enum Received: Equatable, Sendable {
        /// This many bytes were appended, at least one.
        case bytes(Int)
        /// The peer has ended its stream.
        case endOfStream
        /// Nothing is waiting; `ready` will be called.
        case wouldBlock
    }

    /// What `send` did.
    public enum Sent: Equatable, Sendable {
        /// This many bytes were taken from the front of the buffer. Some are left if the kernel took only a part; 0 if the buffer
        /// was empty.
        case sent(Int)
        /// The kernel takes nothing now; ask for `Interest.write`.
        case wouldBlock
    }

    /// Starts to connect. The socket becomes writable once it has connected or failed: then ask `pendingError`.
    ///
    /// - Parameter source: the local address to connect from, on machines with several. Its port is usually 0: any.
    public static func nonBlockingConnect(
        to address: SocketAddress, from source: SocketAddress? = nil
    ) throws(SystemError) -> FileDescriptor {
        let socket = try open(address)
        if let source {
            // The port is chosen once the peer is known, so that one port can serve connections to several peers.
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

    /// Why the connection, or the attempt to connect, failed; nil if it has not. Reading it clears it.
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

    /// Appends what has arrived, in one call: at most `limit` bytes, which is at least 1.
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

    /// Gives the kernel the buffer's bytes in one call, and removes what it took from the buffer. Never raises SIGPIPE.
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

    /// Ends our stream; reading continues. Errors are ignored: they mean that the connection has gone.
    public static func shutdownWrite(_ descriptor: Int32) {
        _ = shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Makes the close a reset: queued bytes are discarded, and the kernel keeps nothing of the connection.
    public static func abortiveClose(_ descriptor: consuming FileDescriptor) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor.rawValue, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        descriptor.close()
    }

    /// Bytes sent that the peer has not acknowledged; nil if the socket cannot tell.
    public static func sendQueueBytes(_ descriptor: Int32) -> Int? {
        var count: Int32 = 0
        guard ioctl(descriptor, cl_SIOCOUTQ, &count) == 0 else { return nil }
        return Int(count)
    }

    /// The kernel's smoothed round-trip time; nil if the socket cannot tell.
    public static func roundTrip(of descriptor: Int32) -> Duration? {
        var info = tcp_info()
        var length = socklen_t(MemoryLayout<tcp_info>.size)
        guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &length) == 0, info.tcpi_rtt > 0 else {
            return nil
        }
        return .microseconds(Int64(info.tcpi_rtt))
    }

    /// The socket's local address; nil if it has none.
    public static func localAddress(of descriptor: Int32) -> SocketAddress? {
        SocketAddress.filled { getsockname(descriptor, $0, $1) }.address
    }

    /// The peer's address; nil if the socket is not connected.
    public static func peerAddress(of descriptor: Int32) -> SocketAddress? {
        SocketAddress.filled { getpeername(descriptor, $0, $1) }.address
    }
}
