// Writes the most frequent messages: room for the whole message is reserved once, and each piece costs one comparison and its
// stores. A pong of 45 pieces costs a fifth of what it costs piece by piece on a ByteBuffer.

/// Writes into room lent by a `ByteBuffer` (`ByteBuffer.write`), never beyond its end.
///
/// Its pointer is valid while the closure that was given the writer runs; since it is `~Copyable`, it cannot leave it.
@safe
public struct ByteWriter: ~Copyable {
    private let room: UnsafeMutableRawBufferPointer
    /// How many bytes are written.
    public private(set) var count = 0

    /// A writer into `room`, which must outlive it.
    @unsafe
    init(_ room: UnsafeMutableRawBufferPointer) {
        unsafe self.room = unsafe room
    }

    /// Reserves the next `length` bytes and returns where they begin.
    @inline(__always)
    private mutating func advance(_ length: Int) -> Int {
        let start = count
        precondition(length >= 0 && length <= (unsafe room.count) - start, "no more is written than there is room for")
        count = start &+ length
        return start
    }

    @inline(__always)
    public mutating func append(_ byte: UInt8) {
        let start = advance(1)
        // `advance` has checked the place, here and below.
        unsafe room.storeBytes(of: byte, toByteOffset: start, as: UInt8.self)
    }

    /// Appends the eight bytes of a word, the lowest first.
    @inline(__always)
    mutating func append(word: UInt64) {
        let start = advance(8)
        unsafe room.storeBytes(of: word.littleEndian, toByteOffset: start, as: UInt64.self)
    }

    /// Appends the four bytes of a word, the lowest first.
    @inline(__always)
    mutating func append(halfWord: UInt32) {
        let start = advance(4)
        unsafe room.storeBytes(of: halfWord.littleEndian, toByteOffset: start, as: UInt32.self)
    }

    /// Appends a literal.
    @inline(__always)
    public mutating func append(_ text: StaticString) {
        let length = text.utf8CodeUnitCount
        let start = advance(length)
        // A literal of more than one character has a pointer to its bytes; of one, too, unless it is written as a scalar.
        precondition(text.hasPointerRepresentation, "literals have a pointer")
        unsafe UnsafeMutableRawBufferPointer(rebasing: room[start..<start &+ length])
            .copyMemory(from: UnsafeRawBufferPointer(start: text.utf8Start, count: length))
    }

    @inline(__always)
    public mutating func append(_ bytes: Span<UInt8>) {
        let length = bytes.count
        let start = advance(length)
        unsafe bytes.withUnsafeBytes { source in
            unsafe UnsafeMutableRawBufferPointer(rebasing: room[start..<start &+ length]).copyMemory(from: source)
        }
    }

    public mutating func append(_ bytes: [UInt8]) {
        append(bytes.span)
    }

    /// Appends a number in decimal digits: at most 20 bytes.
    @inline(__always)
    public mutating func append(decimal number: UInt64) {
        if number < 10 { return append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: number)) }
        appendLong(decimal: number)
    }

    /// Appends a signed number in decimal digits: at most 20 bytes.
    @inline(__always)
    public mutating func append(decimal number: Int64) {
        if number < 0 { append(UInt8(ascii: "-")) }
        append(decimal: number.magnitude)
    }

    private mutating func appendLong(decimal number: UInt64) {
        var length = 2
        var bound: UInt64 = 100
        while number >= bound {
            length += 1
            if length == 20 { break }
            bound &*= 10
        }
        let start = advance(length)
        var rest = number
        for place in stride(from: start + length - 1, through: start, by: -1) {
            let digit = UInt8(truncatingIfNeeded: rest % 10)
            unsafe room.storeBytes(of: UInt8(ascii: "0") &+ digit, toByteOffset: place, as: UInt8.self)
            rest /= 10
        }
    }

    /// Appends the sixteen hexadecimal digits of a number.
    @inline(__always)
    public mutating func append(hexadecimal number: UInt64) {
        append(word: hexadecimalDigits(UInt32(truncatingIfNeeded: number >> 32)))
        append(word: hexadecimalDigits(UInt32(truncatingIfNeeded: number)))
    }

    /// Appends the lowest `digits` hexadecimal digits of a number.
    public mutating func append(hexadecimal number: UInt64, digits: Int) {
        for place in stride(from: digits - 1, through: 0, by: -1) {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(place * 4) & 0xf)
            append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }

    /// Appends a UUID in its lower-case 36-character form.
    @inline(__always)
    public mutating func append(_ uuid: UUID128) {
        let dash = UInt8(ascii: "-")
        let second = hexadecimalDigits(UInt32(truncatingIfNeeded: uuid.high))
        let third = hexadecimalDigits(UInt32(truncatingIfNeeded: uuid.low >> 32))
        append(word: hexadecimalDigits(UInt32(truncatingIfNeeded: uuid.high >> 32)))
        append(dash)
        append(halfWord: UInt32(truncatingIfNeeded: second))
        append(dash)
        append(halfWord: UInt32(truncatingIfNeeded: second >> 32))
        append(dash)
        append(halfWord: UInt32(truncatingIfNeeded: third))
        append(dash)
        append(halfWord: UInt32(truncatingIfNeeded: third >> 32))
        append(word: hexadecimalDigits(UInt32(truncatingIfNeeded: uuid.low)))
    }

    /// Appends a time, as `RFC3339Text` has it: 24 bytes.
    @inline(__always)
    public mutating func append(_ time: RFC3339Text) {
        append(word: time.words.0)
        append(word: time.words.1)
        append(word: time.words.2)
    }

    /// Moves what was written from `position` on by `distance` bytes, towards the end or, if negative, the front.
    mutating func move(from position: Int, by distance: Int) {
        precondition(position >= 0 && position <= count && position + distance >= 0, "what is moved stays in the room")
        let length = count - position
        precondition(count + distance <= (unsafe room.count), "there is room to move to")
        if length > 0, let base = unsafe room.baseAddress {
            unsafe (base + position + distance).copyMemory(from: base + position, byteCount: length)
        }
        count += distance
    }

    /// Replaces a byte that was written.
    @inline(__always)
    mutating func replace(at position: Int, with byte: UInt8) {
        precondition(position >= 0 && position < count, "the byte is written")
        unsafe room.storeBytes(of: byte, toByteOffset: position, as: UInt8.self)
    }
}

/// The eight lower-case hexadecimal digits of a number as the bytes of a word, the first digit in the lowest byte. All eight are
/// computed at once.
@inline(__always)
func hexadecimalDigits(_ number: UInt32) -> UInt64 {
    var digits = UInt64(number.byteSwapped)
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff
    digits = (digits >> 4 | digits << 8) & 0x0f0f_0f0f_0f0f_0f0f
    // 1 in each byte whose digit is a letter: adding 6 carries into its higher half.
    let letters = (digits &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
    return digits &+ 0x3030_3030_3030_3030 &+ letters &* UInt64(UInt8(ascii: "a") - UInt8(ascii: "0") - 10)
}
