// The newest part of one restaurant's stream, kept for tablets that come back: many do so at the same time, and what one of
// them had to be read for is there for the others. Correctness does not hang on it: what is not here is read.
//
//     frames:               │◄──────────── kept ────────────►│ end = the newest event
//     backfill:   │◄── read so far ──►│ … pages follow … until it meets `start`
//               start

/// A contiguous run of events that ends at the newest, and the one that is being read to join it in front.
public struct EventTail: Sendable {
    /// What a tablet that wants the events after some number is given.
    public enum Page: Sendable {
        /// The events that follow, some of them at least.
        case events(ArraySlice<EventFrame>)
        /// There are none.
        case caughtUp
        /// They are being read, or have to be: ask again when a page has come.
        case waiting
        /// They are no longer kept in the database, or are more than anybody should be sent.
        case lost
    }

    /// Rows after a number, to be read from the database.
    public struct Read: Equatable, Sendable {
        public let after: EventSequence
        public let limit: Int
    }

    private struct Backfill {
        /// The number before its first event.
        var start: EventSequence
        var frames: [EventFrame] = []
        var isReading = false

        var end: EventSequence { start + EventSequence(frames.count) }
    }

    /// Rows per read: a turn's worth.
    static let pageRows = 200
    /// Bytes given at once.
    private static let pageBytes = 65_536
    /// Events kept: who resumes may miss half of it at first, and the rest while it catches up.
    private static let maximumEvents = 2_000
    /// Bytes kept.
    private static let maximumBytes = 4 << 20

    /// The number before the first event kept; the newest event's when none is.
    private var start: EventSequence
    private var frames: [EventFrame] = []
    private var backfill: Backfill?
    /// Set while events are kept: nobody has asked for some time otherwise.
    private(set) var isKept = false
    /// When somebody asked last.
    private var lastAsked = Instant(nanoseconds: 0)
    /// The lowest number that was asked for and is in neither part.
    private var wanted: EventSequence?
    /// Events up to this one are known to be gone from the database.
    private var lostUpTo: EventSequence = .min
    /// What is kept, in bytes.
    private(set) var byteCount = 0

    init(end: EventSequence) {
        start = end
    }

    /// The newest event.
    var end: EventSequence { start + EventSequence(frames.count) }

    /// The next event has come.
    mutating func append(_ frame: EventFrame) {
        if frame.sequence != end + 1 {
            // Pruned before it was read: nobody can have what lies between.
            forget()
            start = frame.sequence - 1
            lostUpTo = max(lostUpTo, start)
        }
        guard isKept else {
            start = frame.sequence
            return
        }
        frames.append(frame)
        byteCount += frame.frame.count
        // Cut rarely and by a lot: removing the front of an array is expensive.
        if frames.count > EventTail.maximumEvents * 5 / 4 || byteCount > EventTail.maximumBytes * 5 / 4 { trim() }
    }

    private mutating func trim() {
        var surplus = max(0, frames.count - EventTail.maximumEvents)
        var bytes = byteCount
        for frame in frames[..<surplus] { bytes -= frame.frame.count }
        while bytes > EventTail.maximumBytes, surplus < frames.count {
            bytes -= frames[surplus].frame.count
            surplus += 1
        }
        frames.removeFirst(surplus)
        start += EventSequence(surplus)
        byteCount = bytes
    }

    /// The events after `sequence`.
    mutating func page(after sequence: EventSequence, now: Instant) -> Page {
        guard sequence < end else { return .caughtUp }
        if sequence < lostUpTo || end - sequence > EventSequence(EventTail.maximumEvents) { return .lost }
        isKept = true
        lastAsked = now
        if sequence >= start { return .events(EventTail.page(of: frames, from: Int(sequence - start))) }
        if let backfill, sequence >= backfill.start, sequence < backfill.end {
            return .events(EventTail.page(of: backfill.frames, from: Int(sequence - backfill.start)))
        }
        wanted = min(wanted ?? sequence, sequence)
        return .waiting
    }

    private static func page(of frames: [EventFrame], from first: Int) -> ArraySlice<EventFrame> {
        var end = first
        var bytes = 0
        while end < frames.count, end - first < pageRows, bytes < pageBytes {
            bytes += frames[end].frame.count
            end += 1
        }
        return frames[first..<end]
    }

    /// What is to be read next for those who wait, if nothing is being read.
    mutating func nextRead() -> Read? {
        if backfill == nil {
            // What was wanted may have come by other ways.
            guard let first = wanted, first < start else {
                wanted = nil
                return nil
            }
            wanted = nil
            backfill = Backfill(start: max(first, lostUpTo))
        }
        guard let end = backfill?.end, backfill?.isReading == false else { return nil }
        guard end < start else {
            join()
            return nextRead()
        }
        backfill?.isReading = true
        return Read(after: end, limit: min(EventTail.pageRows, Int(start - end)))
    }

    /// The rows of a read, in order.
    mutating func deliver(_ rows: [DurableEvent], to read: Read) {
        guard var part = backfill, part.isReading, part.end == read.after else { return }
        backfill = nil
        part.isReading = false
        let missing = rows.filter { $0.sequence > part.end && $0.sequence <= start }
        for row in missing {
            if row.sequence > part.end + 1 {
                // Pruned up to here.
                part = Backfill(start: row.sequence - 1)
                lostUpTo = max(lostUpTo, part.start)
            }
            part.frames.append(EventFrame(row))
        }
        if missing.isEmpty {
            // Pruned all the way; rows that came are of what is kept here.
            lostUpTo = max(lostUpTo, start)
        } else {
            backfill = part
            if part.end >= start { join() }
        }
    }

    /// The read failed, and is made again when `nextRead` is asked.
    mutating func readFailed() {
        backfill?.isReading = false
    }

    private mutating func join() {
        guard let part = backfill else { return }
        backfill = nil
        byteCount += part.frames.reduce(0) { $0 + $1.frame.count }
        frames = part.frames + frames
        start = part.start
    }

    /// Lets go of what nobody has asked for since `deadline`.
    mutating func forget(unusedSince deadline: Instant) {
        if isKept, lastAsked < deadline { forget() }
    }

    /// Lets go of everything; what is asked for is read again.
    mutating func forget() {
        start = end
        frames = []
        byteCount = 0
        backfill = nil
        wanted = nil
        isKept = false
    }
}
