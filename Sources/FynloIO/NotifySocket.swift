// The socket that tells a service manager how its service is doing (sd_notify(3)): one datagram per message.

import CLinux
import Glibc

/// A sender of datagrams to one local address. It never waits.
public final class NotifySocket {
    private let descriptor: FileDescriptor
    private let address: sockaddr_un
    private let length: socklen_t
    private let name: String

    /// Reads the address in NOTIFY_SOCKET's form: an absolute path, or `@` and a name in the abstract namespace.
    public init(_ name: String) throws(SystemError) {
        let bytes = Array(name.utf8)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let isAbstract = bytes.first == UInt8(ascii: "@")
        guard bytes.count > 1, isAbstract || bytes.first == UInt8(ascii: "/"), !bytes.contains(0),
            bytes.count < MemoryLayout.size(ofValue: address.sun_path)
        else { throw .invalidAddress(name, reason: "write an absolute path, or @ and a name; 107 bytes at most") }
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            path.copyBytes(from: bytes)
            if isAbstract { path[0] = 0 }
        }
        let number = socket(AF_UNIX, Int32(bitPattern: SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw .last("socket") }
        descriptor = FileDescriptor(owning: number)
        self.address = address
        // unix(7): an abstract name has exactly as many bytes as the length says; for a path the final zero is optional.
        length = socklen_t((MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2) + bytes.count)
        self.name = name
    }

    /// Sends one message; false when the receiver has no room for it now.
    public func send(_ text: String) throws(SystemError) -> Bool {
        let bytes = Array(text.utf8)
        let flags = Int32(MSG_NOSIGNAL | MSG_DONTWAIT)
        while true {
            let sent = withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(descriptor.rawValue, bytes, bytes.count, flags, $0, length)
                }
            }
            if sent >= 0 { return true }
            switch errno {
            case EINTR: continue
            case EAGAIN, ENOBUFS: return false
            default: throw .last("sendto", subject: name)
            }
        }
    }
}
