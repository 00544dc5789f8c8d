// What bounds a connection to Redis, and what it counts.

import FynloCore

extension RedisConnection {
    /// All limits of one connection. Tests lower them.
    struct Limits {
        /// Commands whose answers have not come, including those that have timed out.
        var outstandingRequests = 8192
        /// Bytes of commands that the kernel has not taken. They accumulate only if Redis does not read.
        var outputBytes = 16 << 20
        /// Bytes of one answer, give or take one `receive`. A cache needs no more.
        var replyBytes = 8 << 20
        /// Bytes received in one turn, so that a flood of answers does not delay the tablets.
        var receiveBytesPerTurn = 256 << 10
        /// The connection is given up if nothing has come for so long although answers are due.
        var silence: Duration = .seconds(1)
        /// How long one address has to accept the connection.
        var connect: Duration = .seconds(1)
        /// The delay between two attempts: it doubles with each failure, and a random part of its upper half is used.
        var backoff: ClosedRange<Duration> = .milliseconds(50)...(.seconds(2))
    }

    /// What one connection has counted.
    struct Figures {
        /// The time from sending a command to its answer, whether or not somebody still waited for the answer.
        var commands = Histogram(.latency)
        /// Commands whose answers did not come within their budgets.
        var timeouts: UInt64 = 0
        /// Commands that were not sent: there was no connection, or too much was under way.
        var refusals: UInt64 = 0
        /// Commands answered by an error.
        var errors: UInt64 = 0
        /// Connections that were lost or could not be made.
        var losses: UInt64 = 0
    }
}

/// The delays between attempts to connect.
struct RedisBackoff {
    private let bounds: ClosedRange<Duration>
    /// Failures since Redis was last in use for a while.
    private var failures = 0

    init(_ bounds: ClosedRange<Duration>) {
        self.bounds = bounds
    }

    /// Begins again with the shortest delay.
    mutating func reset() {
        failures = 0
    }

    /// A connection was lost after it had been in use for this long: if that was long enough, the delays start over.
    mutating func lost(after use: Duration) {
        if use >= bounds.upperBound { failures = 0 }
    }

    /// The delay before the next attempt.
    mutating func nextDelay() -> Duration {
        let longest = min(bounds.lowerBound * (2 << min(failures, 16)), bounds.upperBound)
        let shortest = max(longest / 2, bounds.lowerBound)
        failures += 1
        return .nanoseconds(Int64.random(in: shortest.inNanoseconds...longest.inNanoseconds))
    }
}
