// The loop's helper threads, for the few things that can only be done by blocking: resolving names and reading files. Jobs go
// to a thread and results come back in order; an eventfd wakes each side.

import CLinux
import FynloCore
import Glibc
import Synchronization

/// The lanes of blocking work. Each lane in use has its own thread, so work in one never waits for another.
public enum OffloadLane: Hashable, Sendable {
    case general
    /// Writes that somebody waits for. A slow name service may hold up the other lane for many seconds.
    case writes
}

/// The loop's end of a helper thread: counts the finished jobs and delivers their results.
final class OffloadSource: EventSource {
    private let helper: HelperThread
    /// What to do with the results still to come, oldest first.
    private var deliveries: [() -> Void] = []

    /// Starts the thread; nil when the kernel refuses.
    static func start() -> OffloadSource? {
        HelperThread.start().map(OffloadSource.init)
    }

    private init(_ helper: HelperThread) {
        self.helper = helper
    }

    /// Readable when results are waiting.
    var descriptor: Int32 { helper.finished.rawValue }

    func submit<T: Sendable>(_ work: @escaping @Sendable () -> T, then: @escaping (T) -> Void) {
        let result = ResultBox<T>()
        deliveries.append { if let value = result.take() { then(value) } }
        helper.submit { result.set(work()) }
    }

    /// Ends the thread after its current job. The results of waiting jobs are dropped.
    func stop() {
        helper.stop()
    }

    func ready(_ readiness: Readiness, now: Moment) {
        var count: UInt64 = 0
        guard read(helper.finished.rawValue, &count, 8) == 8 else { return }
        let batch = deliveries.prefix(Int(count))
        deliveries.removeFirst(batch.count)
        for deliver in batch { deliver() }
    }
}

/// Carries one result from the helper to the loop.
private final class ResultBox<T: Sendable>: Sendable {
    private let value = Mutex<T?>(nil)

    func set(_ result: T) {
        value.withLock { $0 = result }
    }

    func take() -> T? {
        value.withLock { $0.take() }
    }
}

/// What the two threads share.
private final class HelperThread: Sendable {
    private struct Queue {
        var jobs: [@Sendable () -> Void] = []
        var isStopped = false
    }

    private let queue = Mutex(Queue())
    /// Tells the thread sanitizer, which understands atomics but not `Mutex`, that uses of the queue are ordered.
    private let order = Atomic(false)
    /// Counts the waiting jobs; reading blocks while it is 0 and takes one.
    private let waiting: FileDescriptor
    /// Counts the finished jobs; reading takes all.
    let finished: FileDescriptor

    private init(waiting: consuming FileDescriptor, finished: consuming FileDescriptor) {
        self.waiting = waiting
        self.finished = finished
    }

    static func start() -> HelperThread? {
        let waiting = eventfd(0, Int32(EFD_CLOEXEC | EFD_SEMAPHORE))
        guard waiting >= 0 else { return nil }
        let waitingOwner = FileDescriptor(owning: waiting)
        let finished = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard finished >= 0 else { return nil }
        let thread = HelperThread(waiting: waitingOwner, finished: FileDescriptor(owning: finished))

        // Signals belong to the loop: the new thread inherits a mask that blocks all of them.
        var all = sigset_t()
        var previous = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &previous)
        defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }

        var identifier = pthread_t()
        let argument = Unmanaged.passRetained(thread)
        guard pthread_create(&identifier, nil, runHelper, argument.toOpaque()) == 0 else {
            argument.release()
            return nil
        }
        pthread_detach(identifier)
        return thread
    }

    func submit(_ job: @escaping @Sendable () -> Void) {
        withQueue { $0.jobs.append(job) }
        ring(waiting)
    }

    func stop() {
        withQueue { $0.isStopped = true }
        ring(waiting)
    }

    func run() {
        while true {
            var count: UInt64 = 0
            guard read(waiting.rawValue, &count, 8) == 8 || errno == EINTR else { return }
            guard count > 0 else { continue }
            let next = withQueue { queue in
                queue.isStopped || queue.jobs.isEmpty ? nil : queue.jobs.removeFirst()
            }
            guard let next else { return }
            next()
            ring(finished)
        }
    }

    private func withQueue<T: Sendable>(_ body: (inout Queue) -> T) -> T {
        queue.withLock { queue in
            _ = order.load(ordering: .acquiring)
            defer { order.store(true, ordering: .releasing) }
            return body(&queue)
        }
    }

    private func ring(_ bell: borrowing FileDescriptor) {
        var one: UInt64 = 1
        _ = write(bell.rawValue, &one, 8)
    }
}

/// The thread's main function. It holds its own reference, so that the queue outlives the loop.
private func runHelper(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    Unmanaged<HelperThread>.fromOpaque(argument).takeRetainedValue().run()
    return nil
}
