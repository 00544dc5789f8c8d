// The event loop. A process does nothing but repeat this turn: wait, read the clock, tell the ready sources, fire the timers
// that are due, continue long work, run what was deferred to the end of the turn, and only then free what was removed. Each
// part may take about a millisecond. What is left over comes first in the next turn, so that a crowd delays others as little
// as possible.

public import FynloCore
import Glibc

/// Something the loop wakes: a connection, a listener, a driver, a timer.
public protocol EventSource: AnyObject {
    /// The descriptor is ready for what the source asked for, or has failed.
    func ready(_ readiness: Readiness, now: Moment)

    /// Called at or after the instant asked for with `wake`. Returns the next instant to be looked at again, or nil.
    func tick(now: Moment) -> Instant?
}

extension EventSource {
    /// Does nothing: for sources that have no deadlines.
    public func tick(now: Moment) -> Instant? { nil }
}

/// An epoll loop. It belongs to one thread, and so does everything it owns.
public final class EventLoop {
    /// The time of this turn, read once, right after the wait.
    public private(set) var now: Moment

    /// How the loop has spent its time.
    public private(set) var figures: LoopFigures

    private let epoll: Epoll
    private var table = SourceTable()
    private var timers: TimerWheel
    // The events of the last wait, and which of them the sources have not been told yet.
    private var eventCount = 0
    private var nextEvent = 0
    // The timers that are due, and which of them have not fired yet.
    private var due: [UInt64] = []
    private var nextDue = 0
    private var endOfTurn: [PutOffWork] = []
    private var waiting = WorkQueue<PutOffWork>()
    /// When the current part of the turn has used up its share of time.
    private var partEnds: Int64 = 0
    private var removed: [any EventSource] = []
    private var helpers: [OffloadLane: OffloadSource] = [:]
    private var isTurning = false
    private var isStopping = false
    private var isClosed = false

    // The share of each part. A whole turn ends within 5 ms, including the piece of work that overruns its part. They are
    // plain nanoseconds, since every turn calculates with them.
    private static let eventsShare: Int64 = 1_200_000
    private static let dueShare: Int64 = 400_000
    private static let laterShare: Int64 = 800_000
    private static let endShare: Int64 = 800_000
    /// Events between two readings of the clock: a reading takes 25 ns, an event about 5 µs.
    private static let eventsPerLook = 4

    /// An empty loop; throws when there are no descriptors left.
    public init() throws(SystemError) {
        epoll = try Epoll()
        now = SystemClock.now
        figures = LoopFigures(now: now.instant)
        timers = TimerWheel(start: now.instant)
    }

    deinit {
        for helper in helpers.values { helper.stop() }
    }

    /// Ends the loop between two turns: runs the deferred work and releases every source, which breaks the reference cycles
    /// between the loop and its sources. Work deferred after this is dropped.
    public func close() {
        precondition(!isTurning, "a loop is not closed by its sources")
        guard !isClosed else { return }
        while !endOfTurn.isEmpty || !waiting.isEmpty {
            runEndOfTurn()
            runLater()
        }
        isClosed = true
        for token in table.tokens { remove(token) }
        while !removed.isEmpty { releaseRemoved() }
        for helper in helpers.values { helper.stop() }
        helpers = [:]
    }

    // MARK: Sources

    /// Watches a descriptor for a source and keeps the source until `remove`. The descriptor stays the source's own.
    public func add(
        _ source: any EventSource, descriptor: Int32, interest: Interest
    ) throws(SystemError) -> SourceToken {
        let token = table.insert(source)
        do {
            try epoll.add(descriptor, key: token.rawValue, interest: interest)
        } catch {
            table.free(token.slot)
            throw error
        }
        table.assign(descriptor, to: token.slot)
        table.slots[token.slot].interest = interest
        return token
    }

    /// Keeps a source that has no descriptor, only deadlines.
    public func add(timer source: any EventSource) -> SourceToken {
        table.insert(source)
    }

    /// Changes what the source is told. Costs nothing if nothing changes. If epoll refuses the descriptor, for example because
    /// it was closed, the source is told of a hang-up at the end of the turn.
    public func setInterest(_ interest: Interest, for token: SourceToken) {
        guard let slot = table.slot(of: token), table.slots[slot].interest != interest else { return }
        table.slots[slot].interest = interest
        let descriptor = table.slots[slot].descriptor
        guard descriptor >= 0 else { return }
        do {
            try epoll.modify(descriptor, key: token.rawValue, interest: interest)
        } catch {
            atEndOfTurn { [unowned self] in
                guard let slot = table.slot(of: token), let source = table.slots[slot].source else { return }
                source.ready(.hangup, now: now)
            }
        }
    }

    /// Watches another descriptor for the same source, or a new descriptor with the same number. Call it as soon as a library
    /// has replaced its socket.
    public func replaceDescriptor(
        _ descriptor: Int32, interest: Interest, for token: SourceToken
    ) throws(SystemError) {
        guard let slot = table.slot(of: token) else { return }
        if let old = table.unassign(slot), old != descriptor { epoll.remove(old) }
        // Events of the old descriptor say nothing about the new one.
        epoll.forget(token.rawValue, in: nextEvent..<eventCount)
        table.slots[slot].interest = interest
        try epoll.add(descriptor, key: token.rawValue, interest: interest)
        table.assign(descriptor, to: slot)
    }

    /// Removes a source: call it before closing its descriptor. The source is told nothing more, but is freed only at the end
    /// of the turn, since one of its own methods may be running. A second call does nothing.
    public func remove(_ token: SourceToken) {
        guard let slot = table.slot(of: token) else { return }
        if let descriptor = table.unassign(slot) { epoll.remove(descriptor) }
        if table.slots[slot].timer != .none { timers.remove(table.slots[slot].timer) }
        if let source = table.slots[slot].source { removed.append(source) }
        table.free(slot)
    }

    // MARK: Time

    /// Calls the source's `tick` at `instant` or up to about 2 ms later, unless an earlier time was already asked for. Asking
    /// for a later time costs nothing and changes nothing: the earlier `tick` returns the real deadline.
    public func wake(_ token: SourceToken, by instant: Instant) {
        guard instant != .never, let slot = table.slot(of: token) else { return }
        let timer = table.slots[slot].timer
        if timer == .none {
            table.slots[slot].timer = timers.insert(token.rawValue, at: instant)
        } else {
            timers.hasten(timer, to: instant)
        }
    }

    /// Runs `work` once, after `duration`. For rare events such as a retry, not for every message.
    public func after(_ duration: Duration, _ work: @escaping () -> Void) {
        let source = DelayedWork(work)
        let token = add(timer: source)
        source.remove = { [unowned self] in remove(token) }
        wake(token, by: now.instant + duration)
    }

    /// How many sources and pieces of delayed work have a timer.
    package var timerCount: Int { timers.count }

    // MARK: Work

    /// Runs `work` once at the end of this turn, before the next wait. What `work` itself adds runs in the same phase.
    public func atEndOfTurn(_ work: @escaping () -> Void) {
        if !isClosed { endOfTurn.append(PutOffWork(run: work)) }
    }

    /// Runs `work` once: in this turn if there is time left, otherwise in one of the next, in the order of the calls. Use it
    /// for each of many pieces of work that arrive together, and for what a source has left to do once `isOverdue`.
    public func later(_ work: @escaping () -> Void) {
        if !isClosed { waiting.append(PutOffWork(run: work)) }
    }

    /// True when the current part of the turn has used up its time. Code with much to do checks this after each piece of work
    /// and does the rest `later`.
    public var isOverdue: Bool { SystemClock.instant.nanoseconds >= partEnds }

    /// Runs `work`, which may block, on the lane's helper thread after the lane's earlier jobs, then calls `then` with its
    /// result on the loop. `then` never leaves the loop's thread. If no thread can be started, `work` runs on the loop.
    public func offload<T: Sendable>(
        on lane: OffloadLane = .general, _ work: @escaping @Sendable () -> T, then: @escaping (T) -> Void
    ) {
        guard !isClosed else { return }
        if helpers[lane] == nil, let started = OffloadSource.start() {
            if (try? add(started, descriptor: started.descriptor, interest: .read)) != nil {
                helpers[lane] = started
            } else {
                started.stop()
            }
        }
        if let helper = helpers[lane] {
            helper.submit(work, then: then)
        } else {
            atEndOfTurn { then(work()) }
        }
    }

    // MARK: Turns

    /// Turns until `stop` is called; returns at once if it was called before.
    public func run() throws(SystemError) {
        defer { isStopping = false }
        while !isStopping { try turn(timeout: nil) }
    }

    /// Ends `run` after this turn.
    public func stop() {
        isStopping = true
    }

    /// Turns until `condition` holds, checking after every turn. Returns whether it became true within `limit`.
    public func run(until condition: () -> Bool, for limit: Duration) throws(SystemError) -> Bool {
        let deadline = SystemClock.instant + limit
        while !condition() {
            let left = deadline - SystemClock.instant
            guard left > .zero else { return false }
            try turn(timeout: left)
        }
        return true
    }

    /// One turn. Waits for events and timers at most `timeout`, rounded up to whole milliseconds; without limit if nil.
    public func turn(timeout: Duration?) throws(SystemError) {
        precondition(!isTurning, "a turn does not begin inside another one")
        isTurning = true
        defer { isTurning = false }

        if nextEvent == eventCount {
            (nextEvent, eventCount) = (0, 0)
            eventCount = try epoll.wait(milliseconds: waitingTime(timeout))
        }
        now = SystemClock.now
        defer { figures.turned(from: now.instant, to: SystemClock.instant) }
        partEnds = now.instant.nanoseconds + EventLoop.eventsShare
        tellReady()
        tellDue()
        if !waiting.isEmpty { runLater() }
        if !endOfTurn.isEmpty {
            begin(EventLoop.endShare)
            while !endOfTurn.isEmpty { runEndOfTurn() }
        }
        while !removed.isEmpty { releaseRemoved() }
    }

    private func begin(_ share: Int64) {
        partEnds = SystemClock.instant.nanoseconds + share
    }

    /// How long to wait, in milliseconds; -1 for no limit. Reads the clock again, since the handlers took time.
    private func waitingTime(_ timeout: Duration?) -> Int32 {
        // Free what was removed between two turns now: this turn may wait long.
        guard endOfTurn.isEmpty, removed.isEmpty, waiting.isEmpty, nextDue == due.count else { return 0 }
        var limit = timeout.map { min(max($0.inNanoseconds, 0), EventLoop.longestWait) }
        if let next = timers.nextDeadline {
            let left = max(next.nanoseconds, 0) - SystemClock.instant.nanoseconds
            limit = min(limit ?? EventLoop.longestWait, max(left, 0))
        }
        guard let limit else { return -1 }
        return Int32((limit + 999_999) / 1_000_000)
    }

    /// A day, in nanoseconds.
    private static let longestWait: Int64 = 86_400_000_000_000

    private func tellReady() {
        while nextEvent < eventCount {
            let event = epoll.event(at: nextEvent)
            nextEvent += 1
            tellReady(event)
            if nextEvent % EventLoop.eventsPerLook == 0, nextEvent < eventCount, isOverdue { return }
        }
    }

    private func tellReady(_ event: (key: UInt64, events: UInt32)) {
        guard let slot = table.slot(of: SourceToken(rawValue: event.key)), let source = table.slots[slot].source else {
            return
        }
        let readiness = Readiness(events: event.events, interest: table.slots[slot].interest)
        if !readiness.isEmpty { source.ready(readiness, now: now) }
    }

    private func tellDue() {
        if nextDue == due.count { collectDue() }
        guard nextDue < due.count else { return }
        begin(EventLoop.dueShare)
        repeat {
            let token = SourceToken(rawValue: due[nextDue])
            nextDue += 1
            guard let slot = table.slot(of: token), let source = table.slots[slot].source else { continue }
            if let next = source.tick(now: now) { wake(token, by: next) }
        } while nextDue < due.count && !isOverdue
    }

    private func collectDue() {
        if nextDue > 0 {
            due.removeAll(keepingCapacity: true)
            nextDue = 0
        }
        guard let earliest = timers.advance(to: now.instant, due: &due) else { return }
        figures.lateness.observe(now.instant - earliest)
        // All due timers are cleared before the first source is told, since that source may wake or remove any other.
        for key in due { table.slots[SourceToken(rawValue: key).slot].timer = .none }
    }

    private func runLater() {
        begin(EventLoop.laterShare)
        repeat {
            guard let work = waiting.popFirst() else { return }
            work.run()
        } while !isOverdue
    }

    private func runEndOfTurn() {
        var batch: [PutOffWork] = []
        swap(&batch, &endOfTurn)
        for work in batch { work.run() }
        guard endOfTurn.isEmpty else { return }
        batch.removeAll(keepingCapacity: true)
        swap(&batch, &endOfTurn)
    }

    private func releaseRemoved() {
        // Freed outside the property: a source may remove another one as it is deallocated.
        var batch: [any EventSource] = []
        swap(&batch, &removed)
        batch.removeAll(keepingCapacity: true)
        if removed.isEmpty { swap(&batch, &removed) }
    }
}
