// Buffers that connections use for a moment and give back, so that a turn's reads and answers need no new memory.

import FynloCore

/// The buffers of one process.
struct BufferPool {
    /// For what is read. One is enough: one connection reads at a time.
    private var readBuffer = ByteBuffer()
    /// For what is read before it is decrypted.
    private var cipherBuffer = ByteBuffer()
    /// Emptied buffers for output.
    private var spare: [ByteBuffer] = []
    private var spareBytes = 0

    /// The largest page of a menu with its head. To allocate and zero memory for one costs 5 µs.
    private static let largestSpareBytes = 131_072
    /// What is kept in all.
    private static let mostSpareBytes = 4 << 20
    private static let mostSpares = 256
    /// A buffer for input that has grown larger than this is let go.
    private static let largestInputBytes = 262_144

    // MARK: Input

    /// Lends the read buffer, empty.
    mutating func borrowForReading() -> ByteBuffer {
        var buffer = ByteBuffer()
        swap(&buffer, &readBuffer)
        return buffer
    }

    mutating func returnFromReading(_ buffer: consuming ByteBuffer) {
        buffer.removeAll(keepingCapacity: buffer.capacity <= BufferPool.largestInputBytes)
        readBuffer = buffer
    }

    /// Lends the buffer for ciphertext, empty.
    mutating func borrowForCiphertext() -> ByteBuffer {
        var buffer = ByteBuffer()
        swap(&buffer, &cipherBuffer)
        return buffer
    }

    mutating func returnFromCiphertext(_ buffer: consuming ByteBuffer) {
        buffer.removeAll(keepingCapacity: buffer.capacity <= BufferPool.largestInputBytes)
        cipherBuffer = buffer
    }

    // MARK: Output

    /// An empty buffer for output.
    mutating func borrowForOutput() -> ByteBuffer {
        guard let buffer = spare.popLast() else { return ByteBuffer() }
        spareBytes -= buffer.capacity
        return buffer
    }

    /// Takes an output buffer back. One that is too large, or one too many, is let go.
    mutating func returnFromOutput(_ buffer: consuming ByteBuffer) {
        let capacity = buffer.capacity
        guard capacity > 0, capacity <= BufferPool.largestSpareBytes,
            spareBytes + capacity <= BufferPool.mostSpareBytes, spare.count < BufferPool.mostSpares
        else { return }
        buffer.removeAll(keepingCapacity: true)
        spare.append(buffer)
        spareBytes += capacity
    }
}
