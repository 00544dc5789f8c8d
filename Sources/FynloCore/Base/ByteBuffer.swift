// The program's one kind of buffer: bytes are appended at the end and consumed from the front. Every layer reads from one and
// writes to one, so that no layer copies what it only passes on.

/// A growable queue of bytes.
///
/// An empty buffer holds no memory. Positions are absolute: they count from the start of the storage. Consumed bytes stay
/// readable by position until the next append, so that a parser can consume a message and return its bytes as a range, which
/// the caller reads before it touches the buffer again.
public struct ByteBuffer: Sendable {
    /// Bytes before `head` are consumed; bytes from `tail` on are free.
    private var storage: [UInt8]
    // Half a word each: every connection has two buffers, which are nearly always empty.
    private var front: UInt32
    private var back: UInt32

    private var head: Int {
        get { Int(front) }
        set { front = UInt32(newValue) }
    }
    private var tail: Int {
        get { Int(back) }
        set { back = UInt32(newValue) }
    }

    /// An empty buffer; allocates nothing.
    public init() {
        storage = []
        front = 0
        back = 0
    }

    /// A buffer that holds `bytes` (less than 4 GiB), without copying them.
    public init(_ bytes: [UInt8]) {
        storage = bytes
        front = 0
        back = UInt32(bytes.count)
    }

    /// A buffer that holds the UTF-8 of `text`.
    public init(_ text: String) {
        self.init(Array(text.utf8))
    }

    /// An empty buffer with room for `capacity` bytes.
    public init(capacity: Int) {
        self.init()
        reserve(capacity)
    }

    /// How many bytes can be read.
    public var count: Int { tail - head }

    public var isEmpty: Bool { tail == head }

    /// The size of the buffer's memory in bytes, readable or not.
    public var capacity: Int { storage.count }

    /// The absolute position of the first readable byte.
    public var readPosition: Int { head }

    /// The absolute positions of the readable bytes.
    public var readablePositions: Range<Int> { head..<tail }

    /// The readable byte `offset` bytes from the front.
    public subscript(offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < count, "offset lies within the readable bytes")
        return storage[head + offset]
    }

    // MARK: Reading

    /// Consumes `count` bytes from the front. They stay readable by position until the next append.
    public mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= self.count, "no more is consumed than there is")
        head += count
    }

    /// The buffer as it was before the last `count` bytes were consumed; nothing may have been appended since.
    public func before(consuming count: Int) -> ByteBuffer {
        precondition(count >= 0 && count <= head, "so much was consumed")
        var buffer = self
        buffer.head -= count
        return buffer
    }

    /// A copy of the readable bytes.
    public func bytes() -> [UInt8] {
        Array(storage[head..<tail])
    }

    /// Lends the readable bytes.
    public func withReadable<Result, Failure: Error>(
        _ body: (Span<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(storage.span.extracting(head..<tail))
    }

    /// Lends the readable bytes to `body`, which returns how many of them it consumed from the front. Not generic, for the
    /// same reason as `withWritable`: every write goes through here.
    @discardableResult
    public mutating func consumeReadable(_ body: (UnsafeRawBufferPointer) -> Int) -> Int {
        let positions = readablePositions
        // The pointer covers the readable bytes and is not kept by contract of `body`.
        let taken = unsafe storage.withUnsafeBytes { all in
            unsafe body(UnsafeRawBufferPointer(rebasing: all[positions]))
        }
        consume(taken)
        return taken
    }

    /// Lends the bytes at absolute `positions`, including consumed ones.
    public func withBytes<Result, Failure: Error>(
        at positions: Range<Int>, _ body: (Span<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(positions.upperBound <= tail, "the positions lie within the buffer")
        return try body(storage.span.extracting(positions))
    }

    /// Lends the bytes at absolute `positions` for changing in place.
    public mutating func withMutableBytes<Result, Failure: Error>(
        at positions: Range<Int>, _ body: (inout MutableSpan<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(positions.upperBound <= tail, "the positions lie within the buffer")
        // `positions` lie within the initialised storage, and the span ends with `body`.
        return try unsafe storage.withUnsafeMutableBufferPointer { (all) throws(Failure) -> Result in
            var part = unsafe MutableSpan(_unsafeElements: UnsafeMutableBufferPointer(rebasing: all[positions]))
            return try body(&part)
        }
    }

    // MARK: Writing

    public mutating func append(_ byte: UInt8) {
        reserve(1)
        storage[tail] = byte
        tail += 1
    }

    public mutating func append(_ bytes: [UInt8]) {
        append(bytes.span)
    }

    public mutating func append(_ bytes: Span<UInt8>) {
        let count = bytes.count
        guard count > 0 else { return }
        reserve(count)
        let start = tail
        // The source is read through its own borrowed pointer, and `reserve` made room for `count` bytes at `start`.
        unsafe bytes.withUnsafeBufferPointer { source in
            unsafe storage.withUnsafeMutableBufferPointer { target in
                guard let from = source.baseAddress, let to = target.baseAddress else { return }
                unsafe (to + start).update(from: from, count: count)
            }
        }
        tail += count
    }

    public mutating func append(_ text: StaticString) {
        let count = text.utf8CodeUnitCount
        guard text.hasPointerRepresentation else {
            append(String(describing: text))
            return
        }
        // A static string's pointer holds `count` bytes for as long as the program runs.
        let bytes = unsafe UnsafeBufferPointer(start: text.utf8Start, count: count)
        append(unsafe Span(_unsafeElements: bytes))
    }

    // Given the choice, the compiler makes a literal a String, and asking a String for its bytes costs more than copying them.
    @_disfavoredOverload
    public mutating func append(_ text: String) {
        append(text.utf8Span.span)
    }

    /// Appends the readable bytes of another buffer.
    public mutating func append(_ other: ByteBuffer) {
        other.withReadable { append($0) }
    }

    /// Appends a number in decimal digits.
    public mutating func append(decimal number: Int64) {
        if number < 0 { append(UInt8(ascii: "-")) }
        append(decimal: number.magnitude)
    }

    /// Appends a number in decimal digits.
    public mutating func append(decimal number: UInt64) {
        write(atMost: 20) { $0.append(decimal: number) }
    }

    /// Lends at least `capacity` writable bytes after the readable ones; `body` returns how many it wrote. Not generic: every
    /// read goes through here, and generic code would look up its types at run time.
    @discardableResult
    public mutating func withWritable(
        atLeast capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int
    ) -> Int {
        reserve(capacity)
        let start = tail
        // The pointer covers initialised bytes of `storage` and is not kept by contract of `body`.
        let written = unsafe storage.withUnsafeMutableBytes { all in
            unsafe body(UnsafeMutableRawBufferPointer(rebasing: all[start...]))
        }
        precondition(written >= 0 && start + written <= storage.count, "no more was written than was lent")
        tail += written
        return written
    }

    /// Lends a writer room for at most `count` bytes after the readable ones, for content made of many small pieces. Each call
    /// on the buffer itself checks who shares its memory and how much there is; here that happens once.
    @inline(__always)
    public mutating func write(atMost count: Int, _ body: (inout ByteWriter) -> Void) {
        reserve(count)
        let start = tail
        // The room lies within initialised storage, and the writer, which cannot be copied, ends with `body`.
        let written = unsafe storage.withUnsafeMutableBytes { all in
            var writer = unsafe ByteWriter(UnsafeMutableRawBufferPointer(rebasing: all[start..<start + count]))
            body(&writer)
            return writer.count
        }
        tail = start + written
    }

    /// Inserts `count` zero bytes at absolute `position` and moves what follows: room for a header whose length is known only
    /// once its payload is written.
    public mutating func insertZeros(_ count: Int, at position: Int) {
        precondition(position >= head && position <= tail && count >= 0, "the position lies within the readable bytes")
        // `reserve` may move the readable bytes to the front of the storage.
        let offset = position - head
        reserve(count)
        let start = head + offset
        let moved = tail - start
        // `reserve` made room for `count` bytes after the `moved` ones; `update(from:)` allows the two to overlap.
        unsafe storage.withUnsafeMutableBufferPointer { all in
            guard let base = all.baseAddress else { return }
            unsafe (base + start + count).update(from: base + start, count: moved)
            unsafe (base + start).update(repeating: 0, count: count)
        }
        tail += count
    }

    /// Replaces the readable byte `offset` bytes from the front.
    public mutating func replace(at offset: Int, with byte: UInt8) {
        precondition(offset >= 0 && offset < count, "offset lies within the readable bytes")
        storage[head + offset] = byte
    }

    /// Drops bytes from the end so that `count` readable ones remain.
    public mutating func truncate(to count: Int) {
        precondition(count >= 0 && count <= self.count, "a buffer is not truncated to more than it holds")
        tail = head + count
    }

    /// Drops everything, and keeps the memory for reuse if asked to.
    public mutating func removeAll(keepingCapacity: Bool = false) {
        if !keepingCapacity { storage = [] }
        head = 0
        tail = 0
    }

    /// Makes room for `count` more bytes: first by moving the readable bytes to the front, then by growing.
    private mutating func reserve(_ count: Int) {
        if head == tail {
            head = 0
            tail = 0
        }
        guard tail + count > storage.count else { return }
        let used = self.count
        if used + count <= storage.count, head >= used {
            // The readable bytes fit before themselves, so that the total moved stays linear.
            let start = head
            // Both ranges lie within the storage and do not overlap.
            unsafe storage.withUnsafeMutableBufferPointer { all in
                guard let base = all.baseAddress else { return }
                unsafe base.update(from: base + start, count: used)
            }
        } else {
            let readable = storage[head..<tail]
            let capacity = max(used + count, storage.count * 2, 64)
            // The first `used` bytes are copied and the others zeroed, so that all `capacity` are initialised.
            storage = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { room, initialized in
                guard let base = room.baseAddress else { return }
                unsafe readable.withUnsafeBufferPointer { source in
                    if let from = source.baseAddress { unsafe base.initialize(from: from, count: used) }
                }
                unsafe (base + used).initialize(repeating: 0, count: capacity - used)
                initialized = capacity
            }
        }
        head = 0
        tail = used
    }
}
