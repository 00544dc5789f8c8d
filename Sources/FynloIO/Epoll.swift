// What the loop waits with, and the words in which it is asked and answers.

import CLinux
import Glibc

/// What a source wants to be told about its descriptor.
public struct Interest: OptionSet, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Bytes, a connection or the end of the stream have come in.
    public static let read = Interest(rawValue: 1)
    /// The kernel takes bytes again. Ask only after it has refused some: otherwise it is true all the time.
    public static let write = Interest(rawValue: 2)

    /// The end of the peer's stream is asked for with `read` only: a source that has read it, and only writes from then on,
    /// would be woken by it for ever.
    fileprivate var events: UInt32 {
        var events: UInt32 = 0
        if contains(.read) { events |= EPOLLIN.rawValue | EPOLLRDHUP.rawValue }
        if contains(.write) { events |= EPOLLOUT.rawValue }
        return events
    }
}

/// What a source is told about its descriptor. It is told again in the next turn as long as it stays true.
public struct Readiness: OptionSet, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// `receive` or `accept` will not be refused.
    public static let read = Readiness(rawValue: 1)
    /// `send` will not be refused.
    public static let write = Readiness(rawValue: 2)
    /// The peer has ended its stream or the connection has failed, which is told without being asked for. There may be bytes
    /// to read before the end: read on, `receive` gives the rest and then the end or the error. A failed descriptor must be
    /// removed, or it is reported in every turn.
    public static let hangup = Readiness(rawValue: 4)

    /// What epoll said, less what is no longer asked for.
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
    /// Events taken per wait; more stay in the kernel, which hands them out in turn.
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

    /// Leaves out what the last wait told about a key at these positions.
    func forget(_ key: UInt64, in positions: Range<Int>) {
        for position in positions where events[position].data.u64 == key { events[position].events = 0 }
    }

    /// Watches a descriptor, whether or not it was watched before.
    func add(_ number: Int32, key: UInt64, interest: Interest) throws(SystemError) {
        if control(EPOLL_CTL_ADD, number, key, interest) { return }
        if errno == EEXIST, control(EPOLL_CTL_MOD, number, key, interest) { return }
        throw .last("epoll_ctl")
    }

    /// Changes what a descriptor is watched for. One that the kernel no longer knows, because a library closed it and opened
    /// another of the same number, is watched anew.
    func modify(_ number: Int32, key: UInt64, interest: Interest) throws(SystemError) {
        if control(EPOLL_CTL_MOD, number, key, interest) { return }
        if errno == ENOENT, control(EPOLL_CTL_ADD, number, key, interest) { return }
        throw .last("epoll_ctl")
    }

    /// Watches a descriptor no longer. One that has been closed already is gone from epoll by itself.
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
