// One TCP connection between a tablet and a server: bytes arrive late and in pieces, never out of order, and perhaps never.

import FynloCore

/// The bytes on their way in one direction.
struct Pipe {
    /// Pieces that have not been taken yet, with the time from which they can be.
    private var pieces: [(bytes: [UInt8], due: Instant)] = []
    private var lastDue = Instant(nanoseconds: 0)
    /// Bytes in `pieces`.
    private(set) var inFlight = 0
    /// Bytes put in, ever.
    private(set) var sent = 0
    /// Bytes taken out, ever.
    private(set) var received = 0
    /// The end of the stream, when it is known of.
    private(set) var end: Instant?

    /// Puts bytes in; returns when they arrive.
    mutating func send(_ bytes: [UInt8], due: Instant) -> Instant {
        lastDue = max(lastDue, due)
        guard end == nil else { return lastDue }
        pieces.append((bytes, lastDue))
        inFlight += bytes.count
        sent += bytes.count
        return lastDue
    }

    /// Nothing more is put in; returns when that is noticed.
    mutating func finish(due: Instant) -> Instant {
        lastDue = max(lastDue, due)
        if end == nil { end = lastDue }
        return lastDue
    }

    /// What has arrived by `now`, all in one.
    mutating func take(now: Instant, atMost limit: Int = .max) -> [UInt8] {
        var bytes: [UInt8] = []
        var count = 0
        while count < pieces.count, pieces[count].due <= now, bytes.isEmpty || bytes.count < limit {
            bytes += pieces[count].bytes
            count += 1
        }
        pieces.removeFirst(count)
        inFlight -= bytes.count
        received += bytes.count
        return bytes
    }

    /// True when there is nothing more to be taken, ever.
    func isOver(now: Instant) -> Bool {
        guard let end else { return false }
        return pieces.isEmpty && end <= now
    }

    mutating func dropAll() {
        pieces = []
        inFlight = 0
    }
}

/// A connection.
struct Link {
    let tablet: Int
    let server: ServerLife
    /// The server's number for it.
    let connection: UInt64
    /// To the server.
    var up = Pipe()
    /// To the tablet.
    var down = Pipe()
    /// The network swallows everything, and neither end is told.
    var isSilent = false
    /// The ends that have let go of it.
    var isClosedByTablet = false
    var isClosedByServer = false
    /// Where the tablet's commands end in the bytes sent up, with their numbers.
    var marks: [(end: Int, command: Int)] = []

    /// Bytes that the two kernels hold for a tablet that does not read.
    static let window = 3_000
}
