import FynloCore
import Testing

/// A step, comparable to what a test expects.
private struct Step: Equatable {
    let events: [EventSequence]
    let readAfter: EventSequence?
}

private func step(_ events: [EventSequence] = [], read: EventSequence? = nil) -> Step {
    Step(events: events, readAfter: read)
}

/// The feed, with steps that can be compared.
private struct Feed {
    var feed: RestaurantFeed

    init(head: EventSequence) { feed = RestaurantFeed(head: head) }

    var cursor: EventSequence { feed.cursor }
    func isReading(after sequence: EventSequence) -> Bool { feed.isReading(after: sequence) }
    mutating func hint(head: EventSequence) -> Step { plain(feed.hint(head: head)) }
    mutating func committed(_ event: DurableEvent) -> Step { plain(feed.committed(event)) }
    mutating func deliver(_ rows: [DurableEvent]) -> Step { plain(feed.deliver(rows)) }
    mutating func readFailed() { feed.readFailed() }

    private func plain(_ step: RestaurantFeed.Step) -> Step {
        Step(events: step.events.map(\.sequence), readAfter: step.readAfter)
    }
}

private func rows(_ sequences: ClosedRange<EventSequence>) -> [DurableEvent] {
    sequences.map(Sample.event)
}

@Suite("RestaurantFeed")
struct RestaurantFeedTests {
    @Test("a hint of something new is worth one read; of nothing new, none")
    func hints() {
        var feed = Feed(head: 5)
        #expect(feed.hint(head: 5) == step())
        #expect(feed.hint(head: 3) == step())
        #expect(feed.hint(head: .min) == step())
        #expect(feed.hint(head: 7) == step(read: 5))
        #expect(feed.hint(head: 7) == step())
        #expect(feed.hint(head: 8) == step())
        #expect(feed.isReading(after: 5) && !feed.isReading(after: 4))
        #expect(feed.deliver(rows(6...7)) == step([6, 7], read: 7))
        #expect(feed.deliver(rows(8...8)) == step([8]))
        #expect(feed.cursor == 8 && !feed.isReading(after: 8))
    }

    @Test("the next row goes out at once, a later one is a hint, an older one nothing")
    func committed() {
        var feed = Feed(head: 5)
        #expect(feed.committed(Sample.event(6)) == step([6]))
        #expect(feed.committed(Sample.event(6)) == step())
        #expect(feed.committed(Sample.event(4)) == step())
        #expect(feed.committed(Sample.event(8)) == step(read: 6))
        // While a read is under way, the next row waits for it: the read may bring it too.
        #expect(feed.committed(Sample.event(7)) == step())
        #expect(feed.deliver(rows(7...8)) == step([7, 8]))
        #expect(feed.committed(Sample.event(9)) == step([9]))
    }

    @Test("a row that a read under way does not bring is read for again")
    func committedDuringRead() {
        var feed = Feed(head: 5)
        #expect(feed.hint(head: 6) == step(read: 5))
        #expect(feed.committed(Sample.event(7)) == step())
        #expect(feed.deliver(rows(6...6)) == step([6], read: 6))
        #expect(feed.deliver(rows(7...7)) == step([7]))
    }

    @Test("rows that were out already are not repeated")
    func repeated() {
        var feed = Feed(head: 5)
        _ = feed.hint(head: 8)
        #expect(feed.deliver(rows(4...8)) == step([6, 7, 8]))
    }

    @Test("more rows than were hinted at all go out")
    func more() {
        var feed = Feed(head: 0)
        #expect(feed.hint(head: 1) == step(read: 0))
        #expect(feed.deliver(rows(1...4)) == step([1, 2, 3, 4]))
        #expect(feed.hint(head: 4) == step())
    }

    @Test("reads go on page by page until the head")
    func pages() {
        var feed = Feed(head: 0)
        #expect(feed.hint(head: 450) == step(read: 0))
        #expect(feed.deliver(rows(1...200)).readAfter == 200)
        #expect(feed.deliver(rows(201...400)).readAfter == 400)
        #expect(feed.deliver(rows(401...450)).readAfter == nil)
    }

    @Test("pruned rows leave a gap, and the feed goes on behind it")
    func gap() {
        var feed = Feed(head: 5)
        _ = feed.hint(head: 12)
        #expect(feed.deliver(rows(10...12)) == step([10, 11, 12]))
        #expect(feed.committed(Sample.event(13)) == step([13]))
    }

    @Test("a hint that was wrong is not read for for ever")
    func wrongHint() {
        var feed = Feed(head: 5)
        #expect(feed.hint(head: .max) == step(read: 5))
        #expect(feed.deliver([]) == step())
        #expect(feed.committed(Sample.event(6)) == step([6]))
        #expect(feed.hint(head: 7) == step(read: 6))
    }

    @Test("a hint during a read that finds nothing asks again")
    func hintDuringEmptyRead() {
        var feed = Feed(head: 5)
        #expect(feed.hint(head: 6) == step(read: 5))
        #expect(feed.hint(head: 7) == step())
        #expect(feed.deliver([]) == step(read: 5))
        #expect(feed.deliver([]) == step())
    }

    @Test("after a failed read the next hint asks again, also one of the same head")
    func failed() {
        var feed = Feed(head: 5)
        #expect(feed.hint(head: 6) == step(read: 5))
        feed.readFailed()
        #expect(!feed.isReading(after: 5))
        #expect(feed.hint(head: 6) == step(read: 5))
        feed.readFailed()
        #expect(feed.committed(Sample.event(6)) == step([6]))
    }

    @Test(
        "every event comes once and in order, whatever happens to hints and reads", arguments: 0..<60 as Range<UInt64>)
    func simulation(seed: UInt64) {
        var generator = SeededBytes(seed)
        var head: EventSequence = EventSequence.random(in: 0...3, using: &generator)
        let start = head
        var feed = Feed(head: head)
        var out: [EventSequence] = []
        /// The read under way, with what the table held at the time it looked.
        var reading: (after: EventSequence, rows: [DurableEvent]?)?
        func take(_ step: Step) {
            out += step.events
            if let after = step.readAfter {
                #expect(reading == nil, "one read at a time")
                reading = (after, nil)
            }
        }
        for _ in 0..<800 {
            switch Int.random(in: 0..<9, using: &generator) {
            case 0: head += 1  // by another program, whose hint may be lost
            case 1, 2:
                head += 1
                take(feed.committed(Sample.event(head)))
            case 3: take(feed.hint(head: head))
            case 4: take(feed.hint(head: EventSequence.random(in: 0...head, using: &generator)))
            case 5:
                // A false hint, now and then.
                if Int.random(in: 0..<8, using: &generator) == 0 { take(feed.hint(head: head + 5)) }
            case 6:
                // The statement runs some time before its answer arrives.
                if let after = reading?.after, reading?.rows == nil {
                    let end = min(head, after + EventSequence(Int.random(in: 1...4, using: &generator)))
                    reading?.rows = after < end ? rows(after + 1...end) : []
                }
            default:
                guard let (after, found) = reading else { continue }
                #expect(feed.isReading(after: after))
                if let found {
                    reading = nil
                    take(feed.deliver(found))
                } else if Int.random(in: 0..<6, using: &generator) == 0 {
                    reading = nil
                    feed.readFailed()
                }
            }
        }
        // In the end one hint brings everything.
        var turns = 0
        repeat {
            if reading == nil { take(feed.hint(head: head)) }
            if let (after, found) = reading {
                reading = nil
                take(feed.deliver(found ?? (after < head ? rows(after + 1...head) : [])))
            }
            turns += 1
        } while feed.cursor < head && turns < 1_000
        #expect(out == Array(start + 1..<head + 1), "seed \(seed)")
        #expect(turns < 10)
    }
}
