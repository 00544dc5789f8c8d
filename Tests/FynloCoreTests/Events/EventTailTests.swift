import FynloCore
import Testing

/// What a tablet is given, in numbers.
private enum Given: Equatable {
    case events([EventSequence])
    case caughtUp, waiting, lost
}

private func rows(_ sequences: ClosedRange<EventSequence>) -> [DurableEvent] {
    sequences.map(Sample.event)
}

private let start = Instant(nanoseconds: 1_000_000_000)

extension RestaurantFeed {
    fileprivate mutating func ask(after sequence: EventSequence, now: Instant = start) -> Given {
        switch replay(after: sequence, now: now) {
        case .events(let events): .events(events.map(\.sequence))
        case .caughtUp: .caughtUp
        case .waiting: .waiting
        case .lost: .lost
        }
    }

    fileprivate mutating func commit(_ sequences: ClosedRange<EventSequence>) {
        for event in rows(sequences) { _ = committed(event) }
    }

    /// Answers reads for replays until there are none; `kept` says what the table still has. Returns what was read.
    fileprivate mutating func serve(from oldest: EventSequence = 1) -> [ClosedRange<EventSequence>] {
        var served: [ClosedRange<EventSequence>] = []
        while let read = nextReplayRead() {
            let range = max(read.after + 1, oldest)...max(read.after + EventSequence(read.limit), oldest)
            deliver(rows(range), to: read)
            served.append(range)
        }
        return served
    }
}

@Suite("What tablets that come back are sent")
struct EventTailTests {
    @Test("nothing is kept, or read, as long as nobody asks")
    func idle() {
        var feed = RestaurantFeed(head: 10)
        feed.commit(11...20)
        #expect(feed.ask(after: 20) == .caughtUp)
        #expect(feed.ask(after: 25) == .caughtUp)
        #expect(feed.nextReplayRead() == nil)
        #expect(feed.tailBytes == 0)
    }

    @Test("what was missed is read once for all, and live events join it without a gap")
    func shared() {
        var feed = RestaurantFeed(head: 10)
        #expect(feed.ask(after: 4) == .waiting)
        let read = feed.nextReplayRead()
        #expect(read?.after == 4 && read?.limit == 6)
        // Meanwhile others come, and it goes on.
        #expect(feed.ask(after: 7) == .waiting)
        #expect(feed.nextReplayRead() == nil)
        feed.commit(11...12)
        if let read { feed.deliver(rows(5...10), to: read) }
        #expect(feed.nextReplayRead() == nil)
        #expect(feed.ask(after: 4) == .events(Array(5...12)))
        #expect(feed.ask(after: 7) == .events(Array(8...12)))
        #expect(feed.ask(after: 12) == .caughtUp)
        feed.commit(13...13)
        #expect(feed.ask(after: 12) == .events([13]))
    }

    @Test("one who missed more than those before has only that read")
    func earlier() {
        var feed = RestaurantFeed(head: 10)
        #expect(feed.ask(after: 6) == .waiting)
        #expect(feed.serve() == [7...10])
        #expect(feed.ask(after: 2) == .waiting)
        #expect(feed.serve() == [3...6])
        #expect(feed.ask(after: 2) == .events(Array(3...10)))
    }

    @Test("one who asks for more while something is being read has it read afterwards")
    func earlierMeanwhile() {
        var feed = RestaurantFeed(head: 10)
        #expect(feed.ask(after: 6) == .waiting)
        let read = feed.nextReplayRead()
        #expect(feed.ask(after: 2) == .waiting)
        if let read { feed.deliver(rows(7...10), to: read) }
        #expect(feed.ask(after: 6) == .events(Array(7...10)))
        #expect(feed.serve() == [3...6])
        #expect(feed.ask(after: 2) == .events(Array(3...10)))
    }

    @Test("much is read and sent in pages")
    func pages() {
        var feed = RestaurantFeed(head: 1_000)
        #expect(feed.ask(after: 50) == .waiting)
        #expect(feed.serve() == [51...250, 251...450, 451...650, 651...850, 851...1_000])
        var seen: EventSequence = 50
        while case .events(let page) = feed.ask(after: seen) {
            #expect(page.first == seen + 1 && page == Array(page[0]...(page[0] + EventSequence(page.count) - 1)))
            #expect(page.count <= RestaurantFeed.pageRows)
            seen = page.last ?? seen
        }
        #expect(seen == 1_000)
    }

    @Test("the first page is sent while the others are being read")
    func early() {
        var feed = RestaurantFeed(head: 1_000)
        #expect(feed.ask(after: 50) == .waiting)
        if let read = feed.nextReplayRead() { feed.deliver(rows(51...250), to: read) }
        guard case .events(let page) = feed.ask(after: 50) else {
            Issue.record("the first page is there")
            return
        }
        #expect(page.first == 51)
        #expect(feed.ask(after: 250) == .waiting)
        #expect(feed.nextReplayRead()?.after == 250)
    }

    @Test("one whose events have been pruned is lost, also when that shows in the middle of it")
    func pruned() {
        var feed = RestaurantFeed(head: 10)
        #expect(feed.ask(after: 2) == .waiting)
        #expect(feed.serve(from: 6) == [6...10])
        #expect(feed.ask(after: 2) == .lost)
        #expect(feed.ask(after: 4) == .lost)
        #expect(feed.ask(after: 5) == .events(Array(6...10)))

        var empty = RestaurantFeed(head: 10)
        #expect(empty.ask(after: 2) == .waiting)
        if let read = empty.nextReplayRead() { empty.deliver([], to: read) }
        #expect(empty.ask(after: 2) == .lost)
        #expect(empty.ask(after: 9) == .lost)
        #expect(empty.ask(after: 10) == .caughtUp)

        // Pruned further than the events that are kept here: the rows that come are none of those in between.
        var ahead = RestaurantFeed(head: 10)
        #expect(ahead.ask(after: 9) == .waiting)
        #expect(ahead.serve(from: 10) == [10...10])
        for sequence in 11...14 { _ = ahead.committed(Sample.event(EventSequence(sequence))) }
        #expect(ahead.ask(after: 2) == .waiting)
        if let read = ahead.nextReplayRead() { ahead.deliver([Sample.event(13), Sample.event(14)], to: read) }
        #expect(ahead.nextReplayRead() == nil)
        #expect(ahead.ask(after: 2) == .lost)
        #expect(ahead.ask(after: 12) == .events([13, 14]))
    }

    @Test("one who falls behind by more than is kept is lost")
    func tooFar() {
        var feed = RestaurantFeed(head: 3_000)
        #expect(feed.ask(after: 999) == .lost)
        #expect(feed.ask(after: 1_000) == .waiting)
        #expect(feed.nextReplayRead()?.after == 1_000)
    }

    @Test("a gap in the live stream is a gap for those who come back, too")
    func gap() {
        var feed = RestaurantFeed(head: 10)
        #expect(feed.ask(after: 8) == .waiting)
        #expect(feed.serve() == [9...10])
        _ = feed.hint(head: 20)
        _ = feed.deliver(rows(15...20))
        #expect(feed.cursor == 20)
        #expect(feed.ask(after: 8) == .lost)
        #expect(feed.ask(after: 13) == .lost)
        #expect(feed.ask(after: 14) == .waiting)
        #expect(feed.serve() == [15...20])
    }

    @Test("a read that failed is made again")
    func failed() {
        var feed = RestaurantFeed(head: 10)
        #expect(feed.ask(after: 4) == .waiting)
        let first = feed.nextReplayRead()
        #expect(first?.after == 4)
        #expect(feed.nextReplayRead() == nil)
        feed.replayReadFailed()
        #expect(feed.nextReplayRead() == first)
    }

    @Test("what nobody has asked for is let go of after a while, and read again for the next")
    func forgotten() {
        var feed = RestaurantFeed(head: 10)
        #expect(feed.ask(after: 4) == .waiting)
        #expect(feed.serve() == [5...10])
        #expect(feed.tailBytes > 0)
        feed.forgetTail(unusedSince: start)
        #expect(feed.ask(after: 8, now: start + .seconds(1)) == .events([9, 10]))
        feed.forgetTail(unusedSince: start + .seconds(2))
        #expect(feed.tailBytes == 0)
        feed.commit(11...12)
        #expect(feed.tailBytes == 0)
        #expect(feed.ask(after: 8) == .waiting)
        #expect(feed.serve() == [9...12])
    }

    @Test("what is kept stays within its limits, whatever is committed")
    func bounded() {
        var feed = RestaurantFeed(head: 10)
        #expect(feed.ask(after: 9) == .waiting)
        #expect(feed.serve() == [10...10])
        feed.commit(11...6_000)
        let perEvent = EventFrame(Sample.event(6_000)).frame.count
        #expect(feed.tailBytes <= 2_500 * perEvent)
        #expect(feed.ask(after: 5_999) == .events([6_000]))
        #expect(feed.ask(after: 10) == .lost)
    }

    @Test(
        "every tablet is sent exactly what it missed, whatever the order of things", arguments: 0..<40 as Range<UInt64>)
    func atRandom(seed: UInt64) {
        var generator = SeededBytes(seed)
        let first = EventSequence.random(in: 0...900, using: &generator)
        var head = first
        var feed = RestaurantFeed(head: head)
        var cursors: [ResumeCursor] = []
        var read: RestaurantFeed.Read?
        for _ in 0..<3_000 {
            switch Int.random(in: 0..<10, using: &generator) {
            case 0:
                let seen = EventSequence.random(in: max(0, head - 1_000)...head, using: &generator)
                cursors.append(ResumeCursor(after: seen, isReplaying: true))
            case 1, 2:
                head += 1
                for event in feed.committed(Sample.event(head)).events {
                    for index in cursors.indices where cursors[index].take(live: event.sequence) == .gap {
                        Issue.record("a gap before \(event.sequence)")
                    }
                }
            case 3, 4:
                if read == nil { read = feed.nextReplayRead() }
            case 5:
                guard let asked = read else { continue }
                read = nil
                feed.deliver(rows(asked.after + 1...asked.after + EventSequence(asked.limit)), to: asked)
            case 6 where Int.random(in: 0..<10, using: &generator) == 0:
                feed.forgetTail(unusedSince: start + .seconds(1))
            case 7 where read != nil && Int.random(in: 0..<4, using: &generator) == 0:
                read = nil
                feed.replayReadFailed()
            default:
                guard !cursors.isEmpty else { continue }
                let index = Int.random(in: cursors.indices, using: &generator)
                guard cursors[index].isReplaying else { continue }
                switch feed.replay(after: cursors[index].sequence, now: start) {
                case .events(let events):
                    for event in events where !cursors[index].take(replayed: event.sequence) {
                        Issue.record("\(event.sequence) after \(cursors[index].sequence)")
                    }
                case .caughtUp: cursors[index].finishReplay()
                case .waiting: break
                case .lost: Issue.record("lost at \(cursors[index].sequence) of \(head)")
                }
            }
        }
        for cursor in cursors where !cursor.isReplaying { #expect(cursor.sequence == head) }
        #expect(cursors.contains { !$0.isReplaying })
    }
}
