// What every step of one call needs: the moment, and where it writes, asks and counts.

/// The surroundings of one call of a ProtocolStack. What the caller lends is moved in and out again, so that no array is
/// ever shared, which would make the next append copy it.
struct SessionContext: ~Copyable {
    let now: Moment
    /// Bytes to send.
    var output: ByteBuffer
    /// What the shell is asked to do.
    var effects: [Effect]
    var log: SessionLog

    /// Counts an event and adds it to the trace.
    @inline(__always)
    mutating func note(_ event: ProtocolEvent) {
        log.note(event, at: now.instant)
    }
}
