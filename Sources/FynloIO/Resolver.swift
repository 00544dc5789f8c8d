// Resolves host names. getaddrinfo blocks for as long as the name service takes: call it on the loop's helper thread.

import CLinux
import Glibc

/// The system's name service.
public enum Resolver {
    /// All addresses of `host` for a stream connection, in the order to try them. `host` may be an IP literal. Blocks: use it
    /// inside `EventLoop.offload`. Throws `SystemError.unresolved`.
    public static func resolve(host: String, port: UInt16) -> Result<[SocketAddress], SystemError> {
        guard !host.isEmpty, !host.utf8.contains(0) else {
            return .failure(.unresolved(host: host, reason: "it is empty or holds a zero byte"))
        }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &list)
        guard status == 0 else { return .failure(.unresolved(host: host, reason: reason(status, errno))) }
        defer { freeaddrinfo(list) }

        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ai_next
            guard let source = entry.pointee.ai_addr else { continue }
            var storage = sockaddr_storage()
            let length = min(Int(entry.pointee.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
            memcpy(&storage, source, length)
            if let address = SocketAddress(storage, length: socklen_t(length)), !addresses.contains(address) {
                addresses.append(address)
            }
        }
        guard !addresses.isEmpty else { return .failure(.unresolved(host: host, reason: "it has no addresses")) }
        return .success(addresses)
    }

    private static func reason(_ status: Int32, _ code: Int32) -> String {
        let text = status == EAI_SYSTEM ? strerror(code) : UnsafeMutablePointer(mutating: gai_strerror(status))
        guard let text else { return "unknown error" }
        return String(cString: text)
    }
}
