// Sockets opened for this process by the program that started it (sd_listen_fds(3)). They outlive the process, so that
// clients wait for the next one instead of being refused.
//
//     LISTEN_PID     the process they are for
//     LISTEN_FDS     how many there are, from descriptor 3 on
//     LISTEN_FDNAMES their names, joined by colons; may be missing

import CLinux
import Glibc

/// Why inherited sockets cannot be used; one sentence.
public enum InheritedListenerError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A variable is not a number, or the names do not match the sockets in number.
    case malformed(variable: String)
    /// The descriptor is not a usable socket; `reason` completes the sentence.
    case unusable(descriptor: Int32, name: String, reason: String)
    /// More than one socket has this name, or no known name.
    case tooMany(Int, name: String)
    /// The server has no use for this socket.
    case unexpected(name: String)

    public var description: String {
        switch self {
        case .malformed(let variable):
            "\(variable) cannot be read; whoever passes sockets sets LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES."
        case .unusable(let descriptor, let name, let reason):
            "LISTEN_FDS passes descriptor \(descriptor)\(Self.label(name)), but \(reason); pass a listening stream socket (ListenStream=)."
        case .tooMany(let count, let name):
            "LISTEN_FDS passes \(count) sockets\(Self.label(name)) where one is expected; use one ListenStream= for each name."
        case .unexpected(let name):
            "LISTEN_FDS passes a socket\(Self.label(name)), which this server has no use for; leave it out."
        }
    }

    private static func label(_ name: String) -> String { name.isEmpty ? "" : " named \(name)" }
}

/// The listening sockets that were passed to this process, by name; each is taken once, and what is not taken is closed.
public struct InheritedListeners {
    /// The first descriptor that is passed.
    private static let first: Int32 = 3

    private var listeners: [(name: String, listener: Listener)] = []

    /// Takes over what the variables name, if they are meant for this process.
    public init(_ environment: [String: String]) throws(InheritedListenerError) {
        guard let process = environment["LISTEN_PID"], !process.isEmpty else { return }
        guard let number = Int32(process) else { throw .malformed(variable: "LISTEN_PID") }
        guard number == getpid() else { return }
        guard let count = environment["LISTEN_FDS"].flatMap({ Int32($0) }), (0...1_024).contains(count) else {
            throw .malformed(variable: "LISTEN_FDS")
        }
        var names = [String](repeating: "", count: Int(count))
        if let text = environment["LISTEN_FDNAMES"], count > 0 {
            names = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard names.count == Int(count) else { throw .malformed(variable: "LISTEN_FDNAMES") }
        }
        // Take ownership of all of them before checking any, so that none leaks or is inherited by a child.
        var owned: [Int32] = []
        for descriptor in Self.first..<Self.first + count {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            owned.append(descriptor)
        }
        for (name, descriptor) in zip(names, owned) {
            if let reason = Listener.problem(of: descriptor) {
                throw .unusable(descriptor: descriptor, name: name, reason: reason)
            }
            guard let address = Socket.localAddress(of: descriptor) else {
                throw .unusable(descriptor: descriptor, name: name, reason: "it is neither an IP nor a local socket")
            }
            listeners.append((name, Listener(inheriting: FileDescriptor(owning: descriptor), address: address)))
        }
    }

    /// The socket of this name; `nil` when none was passed.
    public mutating func take(named name: String) throws(InheritedListenerError) -> Listener? {
        try take { $0 == name }
    }

    /// The one remaining socket; `nil` if there is none.
    public mutating func takeRest() throws(InheritedListenerError) -> Listener? {
        try take { _ in true }
    }

    /// Everything that was passed has been taken.
    public func expectNone() throws(InheritedListenerError) {
        if let first = listeners.first { throw .unexpected(name: first.name) }
    }

    private mutating func take(where matches: (String) -> Bool) throws(InheritedListenerError) -> Listener? {
        let found = listeners.filter { matches($0.name) }
        guard found.count <= 1 else { throw .tooMany(found.count, name: found[0].name) }
        listeners.removeAll { matches($0.name) }
        return found.first?.listener
    }
}
