// The event streams of the restaurants that have tablets on this node: hints and committed rows go in, frames go out to the
// tablets, encoded once for all of them. Tablets that were away are sent what they missed, as fast as they read it.

import FynloCore
import FynloIO

/// Keeps one feed per restaurant with tablets on this node.
final class FeedHandler {
    private let loop: EventLoop
    private let hub: Hub
    private let events: EventLog
    private let log: Logger
    private var feeds: [RestaurantID: RestaurantFeed] = [:]
    /// Called when a menu has a new version, before the tablets are told.
    @SetOnce var whenMenuUpdated: (RestaurantID, Int64) -> Void = { _, _ in }
    /// Called when a restaurant has its first tablet on this node.
    @SetOnce var whenJoined: (RestaurantID) -> Void = { _ in }
    /// Called when this node has committed an event.
    @SetOnce var whenCommitted: (RestaurantID, EventSequence) -> Void = { _, _ in }
    /// Bytes that all feeds keep for tablets that come back.
    private var tailBytes = 0

    // Replays.
    /// The numbers of tablets that wait for rows that are being read.
    private var waiting: [RestaurantID: [UInt64]] = [:]
    /// Reads that wait for their turn.
    private var reads: [(restaurant: RestaurantID, read: RestaurantFeed.Read)] = []
    private var readsUnderWay = 0
    private var framesLeft = FeedHandler.framesPerTurn
    /// The numbers of tablets whose replay goes on in the next turn.
    private var postponed: [UInt64] = []

    /// Concurrent reads for replays: at most this many pages arrive in one turn.
    private static let concurrentReads = 4
    /// Replayed frames in one turn, for all tablets together: half a millisecond of work.
    private static let framesPerTurn = 2_000
    /// How long rows that were read for one tablet are kept for others: the tablets of a restaurant come back within seconds.
    private static let tailLifetime = Duration.seconds(30)
    /// Bytes kept for all restaurants together. Beyond it the rows are dropped, and read again if a tablet needs them.
    private static let maximumTailBytes = 64 << 20

    init(loop: EventLoop, hub: Hub, events: EventLog, log: Logger) {
        self.loop = loop
        self.hub = hub
        self.events = events
        self.log = log
    }

    /// A tablet joins; `head` is the newest event in the database. Returns the newest event that the tablet will not be sent
    /// live.
    func join(_ restaurant: RestaurantID, head: EventSequence) -> EventSequence {
        guard let cursor = feeds[restaurant]?.cursor else {
            feeds[restaurant] = RestaurantFeed(head: head)
            whenJoined(restaurant)
            return head
        }
        hint(restaurant, head: head)
        return max(head, cursor)
    }

    /// The newest known event of a restaurant with tablets.
    func head(of restaurant: RestaurantID) -> EventSequence? { feeds[restaurant]?.head }

    /// The last tablet of a restaurant has left.
    func leave(_ restaurant: RestaurantID) {
        if let feed = feeds.removeValue(forKey: restaurant) { tailBytes -= feed.tailBytes }
        waiting[restaurant] = nil
    }

    /// Changes a feed in place, if there is one.
    @discardableResult
    private func update<Result>(_ restaurant: RestaurantID, _ body: (inout RestaurantFeed) -> Result) -> Result? {
        guard let index = feeds.index(forKey: restaurant) else { return nil }
        let before = feeds.values[index].tailBytes
        let result = body(&feeds.values[index])
        tailBytes += feeds.values[index].tailBytes - before
        return result
    }

    /// A hint says how far a stream goes.
    func hint(_ restaurant: RestaurantID, head: EventSequence) {
        guard let step = update(restaurant, { $0.hint(head: head) }) else { return }
        take(step, restaurant)
    }

    /// This node has committed an event.
    func committed(_ event: DurableEvent) {
        whenCommitted(event.restaurant, event.sequence)
        guard let step = update(event.restaurant, { $0.committed(event) }) else { return }
        take(step, event.restaurant)
    }

    private func take(_ step: RestaurantFeed.Step, _ restaurant: RestaurantID) {
        for event in step.events {
            if let version = event.menuVersion { whenMenuUpdated(restaurant, version) }
            hub.broadcast(event, to: restaurant)
        }
        guard let cursor = step.readAfter else { return }
        events.events(of: restaurant, after: cursor, limit: RestaurantFeed.pageRows) { [weak self] result in
            self?.read(restaurant, after: cursor, result)
        }
    }

    private func read(
        _ restaurant: RestaurantID, after cursor: EventSequence, _ result: Result<[DurableEvent], PostgresError>
    ) {
        // A feed that was closed and opened again meanwhile does not wait for this read.
        guard feeds[restaurant]?.isReading(after: cursor) == true else { return }
        switch result {
        case .success(let rows):
            if let step = update(restaurant, { $0.deliver(rows) }) { take(step, restaurant) }
        case .failure(let error):
            log.warning("events_unread", ["error": error.description])
            update(restaurant) { $0.readFailed() }
        }
    }

    // MARK: Replay

    /// Sends a tablet what it missed, as long as the tablet takes it. Called again when the tablet has read some.
    func replay(to connection: ClientConnection, of restaurant: RestaurantID) {
        while let position = connection.replayPosition, connection.takesMore {
            guard framesLeft > 0 else { return postpone(connection) }
            guard let page = update(restaurant, { $0.replay(after: position, now: loop.now.instant) }) else { return }
            switch page {
            case .events(let events):
                spend(events.count)
                hub.ledger.replayed(events.count, to: restaurant)
                connection.deliver(replay: .events(events))
            case .caughtUp:
                connection.deliver(replay: .finished)
            case .lost:
                connection.deliver(replay: .lost(head: feeds[restaurant]?.cursor ?? position))
            case .waiting:
                waiting[restaurant, default: []].append(connection.id.number)
                return scheduleRead(restaurant)
            }
        }
        connection.resumesReplay = connection.replayPosition != nil
    }

    private func scheduleRead(_ restaurant: RestaurantID) {
        guard case .some(.some(let read)) = update(restaurant, { $0.nextReplayRead() }) else { return }
        reads.append((restaurant, read))
        startReads()
    }

    private func startReads() {
        while readsUnderWay < FeedHandler.concurrentReads, !reads.isEmpty {
            let (restaurant, read) = reads.removeFirst()
            guard feeds[restaurant] != nil else { continue }
            readsUnderWay += 1
            events.events(of: restaurant, after: read.after, limit: read.limit) { [weak self] result in
                self?.finish(read, restaurant, result)
            }
        }
    }

    private func finish(
        _ read: RestaurantFeed.Read, _ restaurant: RestaurantID, _ result: Result<[DurableEvent], PostgresError>
    ) {
        readsUnderWay -= 1
        switch result {
        case .success(let rows):
            update(restaurant) { $0.deliver(rows, to: read) }
            limitTails()
            scheduleRead(restaurant)
            askAgain(restaurant)
        case .failure(let error):
            // The next pulse tries again.
            log.warning("events_unread", ["error": error.description])
            update(restaurant) { $0.replayReadFailed() }
        }
        startReads()
    }

    /// Tablets that wait for rows ask again: the rows have arrived, or have been dropped meanwhile.
    private func askAgain(_ restaurant: RestaurantID) {
        for number in waiting.removeValue(forKey: restaurant) ?? [] {
            if let connection = hub.connection(number) { replay(to: connection, of: restaurant) }
        }
    }

    private func spend(_ frames: Int) {
        if framesLeft == FeedHandler.framesPerTurn {
            loop.after(.zero) { [weak self] in self?.beginTurn() }
        }
        framesLeft -= frames
    }

    private func postpone(_ connection: ClientConnection) {
        postponed.append(connection.id.number)
    }

    private func beginTurn() {
        framesLeft = FeedHandler.framesPerTurn
        let numbers = postponed
        postponed = []
        for number in numbers {
            if let connection = hub.connection(number), let restaurant = connection.restaurant {
                replay(to: connection, of: restaurant)
            }
        }
    }

    private func limitTails() {
        guard tailBytes > FeedHandler.maximumTailBytes else { return }
        forgetTails(unusedSince: loop.now.instant + .seconds(1))
    }

    /// Done with each pulse: failed reads are repeated, and rows that nobody uses are dropped.
    func tick() {
        if tailBytes > 0 { forgetTails(unusedSince: loop.now.instant + (.zero - FeedHandler.tailLifetime)) }
        for restaurant in waiting.keys { askAgain(restaurant) }
    }

    private func forgetTails(unusedSince deadline: Instant) {
        for restaurant in feeds.keys { update(restaurant) { $0.forgetTail(unusedSince: deadline) } }
    }
}
