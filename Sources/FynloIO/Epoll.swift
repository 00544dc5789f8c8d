// epoll, and the values that say what a source waits for and what has happened.

import CLinux
import Glibc

/// What a source wants to be told about its descriptor.
public struct Interest: OptionSet, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Bytes, a new connection or the end of the stream have arrived.
    public static let read = Interest(rawValue: 1)
    /// The kernel accepts bytes again. Ask for this only after a refused write: otherwise it is always true.
    public static let write = Interest(rawValue: 2)

    /// The end of the peer's stream is reported only together with `read`. A source that has seen the end and now only writes
    /// would otherwise be woken forever.
    fileprivate var events: UInt32 {
        var events: UInt32 = 0
        if contains(.read) { events |= EPOLLIN.rawValue | EPOLLRDHUP.rawValue }
        if contains(.write) { events |= EPOLLOUT.rawValue }
        return events
    }
}

/// What a source is told about its descriptor. It is told again in every turn while it remains true.
public struct Readiness: OptionSet, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// `receive` or `accept` will not be refused.
    public static let read = Readiness(rawValue: 1)
    /// `send` will not be refused.
    public static let write = Readiness(rawValue: 2)
    /// The peer has ended its stream, or the connection has failed. Reported whether or not it was asked for. Bytes may still
    /// be waiting: keep reading until `receive` returns the end or an error. Remove a failed descriptor, or it is reported
    /// in every turn.
    public static let hangup = Readiness(rawValue: 4)

    /// What epoll reported, without what the source no longer asks for.
    init(events: UInt32, interest: Interest) {
        var readiness = Readiness(rawValue: 0)
        if events & EPOLLIN.rawValue != 0, interest.contains(.read) { readiness.insert(.read) }
        if events & EPOLLOUT.rawValue != 0, interest.contains(.write) { readiness.insert(.write) }
        if events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { readiness.insert(.hangup) }
        if events & EPOLLRDHUP.rawValue != 0, interest.contains(.read) { readiness.insert(.hangup) }
        self = readiness
    }
}

/// One epoll instance, level-triggered, and the array it fills, allocated once.
struct Epoll: ~Copyable {
    /// Events taken per wait. The kernel keeps the rest and hands them out fairly.
    private static let capacity = 64

    private let descriptor: FileDescriptor
    private let events: UnsafeMutablePointer<epoll_event>

    init() throws(SystemError) {
        let number = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard number >= 0 else { throw .last("epoll_create1") }
        descriptor = FileDescriptor(owning: number)
        events = .allocate(capacity: Self.capacity)
        events.initialize(repeating: epoll_event(), count: Self.capacity)
    }

    deinit {
        events.deallocate()
    }

    /// Waits up to `milliseconds`, or without limit if that is negative. Returns the number of events; 0 also after a signal.
    func wait(milliseconds: Int32) throws(SystemError) -> Int {
        let count = epoll_wait(descriptor.rawValue, events, Int32(Self.capacity), milliseconds)
        if count >= 0 { return Int(count) }
        guard errno == EINTR else { throw .last("epoll_wait") }
        return 0
    }

    /// The event at `position` of the last wait: the key it was registered with, and what happened.
    func event(at position: Int) -> (key: UInt64, events: UInt32) {
        (events[position].data.u64, events[position].events)
    }

    /// Drops what the last wait reported about a key at these positions.
    func forget(_ key: UInt64, in positions: Range<Int>) {
        for position in positions where events[position].data.u64 == key { events[position].events = 0 }
    }

    /// Watches a descriptor, whether or not it was watched before.
    func add(_ number: Int32, key: UInt64, interest: Interest) throws(SystemError) {
        if control(EPOLL_CTL_ADD, number, key, interest) { return }
        if errno == EEXIST, control(EPOLL_CTL_MOD, number, key, interest) { return }
        throw .last("epoll_ctl")
    }

    /// Changes what a descriptor is watched for. If the kernel no longer knows it, because a library closed it and opened
    /// another with the same number, it is added again.
    func modify(_ number: Int32, key: UInt64, interest: Interest) throws(SystemError) {
        if control(EPOLL_CTL_MOD, number, key, interest) { return }
        if errno == ENOENT, control(EPOLL_CTL_ADD, number, key, interest) { return }
        throw .last("epoll_ctl")
    }

    /// Stops watching a descriptor. The kernel has already removed one that was closed.
    func remove(_ number: Int32) {
        var event = epoll_event()
        _ = epoll_ctl(descriptor.rawValue, EPOLL_CTL_DEL, number, &event)
    }

    private func control(_ operation: Int32, _ number: Int32, _ key: UInt64, _ interest: Interest) -> Bool {
        var event = epoll_event()
        event.events = interest.events
        event.data.u64 = key
        return epoll_ctl(descriptor.rawValue, operation, number, &event) == 0
    }
}
