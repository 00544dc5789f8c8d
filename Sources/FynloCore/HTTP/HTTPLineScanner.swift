// Finds the lines of a message head, of chunk sizes and of trailers. It remembers how far it has looked, so that a line that
// arrives byte by byte is scanned once, and it refuses what two programs could split into different lines.

/// RFC 9112 §2.2: lines end with CR LF and hold no other control character than the tab.
struct HTTPLineScanner: Sendable {
    /// How many bytes of the current line have been checked.
    private(set) var scanned = 0

    /// The end of the line that begins at `start`: the position of its CR LF, or `nil` when that has not arrived.
    ///
    /// Throws `tooLong` as soon as more than `limit` bytes have arrived without a line break. The error depends only on the
    /// bytes of the line, never on how they were split.
    mutating func lineEnd(
        in bytes: Span<UInt8>, from start: Int, limit: Int, tooLong: HTTPError
    ) throws(HTTPError) -> Int? {
        let stop = limit < bytes.count - start ? start + limit + 1 : bytes.count
        var index = start + scanned
        while index &+ 8 <= stop {
            // Any eight bytes are a UInt64; the load is bounds-checked.
            let word = unsafe bytes.bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
            if mayEndLine(word) { break }
            index &+= 8
        }
        while index < stop, bytes[index].isFieldContent { index += 1 }
        scanned = index - start
        guard scanned <= limit else { throw tooLong }
        guard index < bytes.count else { return nil }
        switch bytes[index] {
        case .carriageReturn:
            guard index + 1 < bytes.count else { return nil }
            guard bytes[index + 1] == .lineFeed else { throw .bareLineBreak }
            scanned = 0
            return index
        case .lineFeed:
            throw .bareLineBreak
        default:
            throw .controlCharacter
        }
    }
}

/// True if one of the eight bytes of a word may be a control character. A tab counts as one, and so may the byte above a control
/// character. Scanning a head takes an eighth of the steps.
@inline(__always)
private func mayEndLine(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let deletes = word ^ (ones &* 0x7f)
    // The classic "has a byte below 0x20" and "has a zero byte" tests, with a bit for each byte.
    let found = ((word &- ones &* 0x20) & ~word) | ((deletes &- ones) & ~deletes)
    return found & (ones &* 0x80) != 0
}

/// Reads the field lines of a head up to its empty line.
struct HTTPFieldReader: Sendable {
    private(set) var headers = HTTPHeaders()
    private var lines = HTTPLineScanner()
    private var usedBytes = 0

    /// Takes the fields that were read.
    mutating func takeHeaders() -> HTTPHeaders {
        var taken = HTTPHeaders()
        swap(&taken, &headers)
        return taken
    }

    /// Reads from `cursor` on and advances it; true once the empty line has been read.
    mutating func read(
        _ bytes: Span<UInt8>, at cursor: inout Int, limits: HTTPLimits
    ) throws(HTTPError) -> Bool {
        while cursor < bytes.count {
            if headers.count >= limits.headerFields, bytes[cursor] != .carriageReturn {
                throw .tooManyFields(limit: limits.headerFields)
            }
            // Every line but the empty one counts, with its line break.
            let limit = max(limits.headerBytes - usedBytes - 2, 0)
            let end = try lines.lineEnd(
                in: bytes, from: cursor, limit: limit, tooLong: .headerTooLarge(limitBytes: limits.headerBytes))
            guard let end else { return false }
            let line = bytes.extracting(cursor..<end)
            if line.isEmpty {
                cursor = end + 2
                return true
            }
            // Most heads arrive whole, so the bytes at hand are a good guess at the size.
            if headers.isEmpty { headers.reserve(bytes: min(bytes.count - cursor, 2_048)) }
            cursor = end + 2
            try headers.append(line: line)
            usedBytes += line.count + 2
        }
        return false
    }
}
