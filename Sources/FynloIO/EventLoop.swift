// The turn of which the whole life of the process consists: wait, read the clock, tell the ready sources, tell those whose
// time has come, go on with what takes longer than a turn may, do what was put off to the end of the turn, and only then let
// go of what was removed. Each of these parts has a share of about a millisecond; what is left over comes first in the next
// turn, so that a crowd keeps nobody waiting for longer than it must.

public import FynloCore
import Glibc

/// Something the loop wakes: a connection, a listener, a driver, a timer.
public protocol EventSource: AnyObject {
    /// The descriptor is ready for something that was asked for, or has failed.
    func ready(_ readiness: Readiness, now: Moment)

    /// Called at or after the instant asked for with `wake`. Returns the next instant to be looked at again, or nil.
    func tick(now: Moment) -> Instant?
}

extension EventSource {
    /// For sources that never ask for a time.
    public func tick(now: Moment) -> Instant? { nil }
}

/// An epoll loop. It belongs to one thread, and so does everything it owns.
public final class EventLoop {
    /// The time of this turn, read once, right after the wait.
    public private(set) var now: Moment

    /// How it has spent its time.
    public private(set) var figures: LoopFigures

    private let epoll: Epoll
    private var table = SourceTable()
    private var timers: TimerWheel
    // What epoll told in its last answer, and of that what the sources have not been told yet.
    private var eventCount = 0
    private var nextEvent = 0
    // The same of those whose time has come.
    private var due: [UInt64] = []
    private var nextDue = 0
    private var endOfTurn: [PutOffWork] = []
    private var waiting = WorkQueue<PutOffWork>()
    /// When the running part of the turn has had its share.
    private var partEnds: Int64 = 0
    private var removed: [any EventSource] = []
    private var helpers: [OffloadLane: OffloadSource] = [:]
    private var isTurning = false
    private var isStopping = false
    private var isClosed = false

    // How long the parts of a turn go on: a turn is over within 5 ms, with what one piece of work takes beyond its part's end.
    // In nanoseconds and plain numbers, as every turn counts with them.
    private static let eventsShare: Int64 = 1_200_000
    private static let dueShare: Int64 = 400_000
    private static let laterShare: Int64 = 800_000
    private static let endShare: Int64 = 800_000
    /// How many events are told between two looks at the clock: 25 ns for 5 µs each.
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

    /// Ends the loop's life, between two turns: does what was put off, and lets go of every source, which it keeps and which
    /// usually keeps it. What is put off from then on is dropped.
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

    /// Changes what the source is told. Costs nothing when nothing changes. A descriptor that epoll refuses, because it was
    /// closed, say, is reported to its source as a hang-up at the end of the turn.
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

    /// Watches another descriptor for the same source, or a new one of the same number. Call it as soon as a library has
    /// changed its socket.
    public func replaceDescriptor(
        _ descriptor: Int32, interest: Interest, for token: SourceToken
    ) throws(SystemError) {
        guard let slot = table.slot(of: token) else { return }
        if let old = table.unassign(slot), old != descriptor { epoll.remove(old) }
        // What was told of the old one is no news of the new one.
        epoll.forget(token.rawValue, in: nextEvent..<eventCount)
        table.slots[slot].interest = interest
        try epoll.add(descriptor, key: token.rawValue, interest: interest)
        table.assign(descriptor, to: slot)
    }

    /// Forgets a source: call it before its descriptor is closed. It hears nothing from then on, but is not freed before the
    /// end of the turn, as one of its own methods may be running. A second call does nothing.
    public func remove(_ token: SourceToken) {
        guard let slot = table.slot(of: token) else { return }
        if let descriptor = table.unassign(slot) { epoll.remove(descriptor) }
        if table.slots[slot].timer != .none { timers.remove(table.slots[slot].timer) }
        if let source = table.slots[slot].source { removed.append(source) }
        table.free(slot)
    }

    // MARK: Time

    /// Has the source's `tick` called at or after `instant` (at most about 2 ms after), or earlier if it asked for an earlier
    /// time before. Asking for a later time than before costs nothing and changes nothing: `tick` returns the real one.
    public func wake(_ token: SourceToken, by instant: Instant) {
        guard instant != .never, let slot = table.slot(of: token) else { return }
        let timer = table.slots[slot].timer
        if timer == .none {
            table.slots[slot].timer = timers.insert(token.rawValue, at: instant)
        } else {
            timers.hasten(timer, to: instant)
        }
    }

    /// Runs `work` once, when `duration` has passed. For rare things, such as trying again; not for every message.
    public func after(_ duration: Duration, _ work: @escaping () -> Void) {
        let source = DelayedWork(work)
        let token = add(timer: source)
        source.remove = { [unowned self] in remove(token) }
        wake(token, by: now.instant + duration)
    }

    /// How many sources and pieces of delayed work wait for their time.
    package var timerCount: Int { timers.count }

    // MARK: Work

    /// Runs `work` once at the end of this turn, before the next wait; what it adds in its turn runs in the same phase.
    public func atEndOfTurn(_ work: @escaping () -> Void) {
        if !isClosed { endOfTurn.append(PutOffWork(run: work)) }
    }

    /// Runs `work` once, before the end of this turn if there is time left, or else in one of the next turns, in the order in
    /// which it was handed over: for each of many pieces that come at the same time, and for the rest of what one source has
    /// to do once `isOverdue`.
    public func later(_ work: @escaping () -> Void) {
        if !isClosed { waiting.append(PutOffWork(run: work)) }
    }

    /// True when the running part of the turn has had its time: whoever has much to do looks here after each piece of it, and
    /// does the rest `later`.
    public var isOverdue: Bool { SystemClock.instant.nanoseconds >= partEnds }

    /// Runs `work`, which may block, on the lane's helper thread, after what was handed over to it before, and then hands
    /// its result to `then` on the loop. `then` never leaves the loop's thread. Should there be no thread to be had, `work`
    /// runs on the loop.
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

    /// Turns until `condition` holds, looking after every turn. Returns whether it came true within `limit`.
    public func run(until condition: () -> Bool, for limit: Duration) throws(SystemError) -> Bool {
        let deadline = SystemClock.instant + limit
        while !condition() {
            let left = deadline - SystemClock.instant
            guard left > .zero else { return false }
            try turn(timeout: left)
        }
        return true
    }

    /// One turn; waits for events and timers no longer than `timeout` (in whole milliseconds, rounded up), without limit if nil.
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

    /// In milliseconds; -1 for no limit. The clock is read again, as the handlers have taken their time.
    private func waitingTime(_ timeout: Duration?) -> Int32 {
        // What was removed between two turns is not kept for as long as this one may wait.
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
        // All timers are forgotten before the first source is told: it may wake or remove any other.
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
        // Freed outside of the property: a source may remove another one when it goes.
        var batch: [any EventSource] = []
        swap(&batch, &removed)
        batch.removeAll(keepingCapacity: true)
        if removed.isEmpty { swap(&batch, &removed) }
    }
}
