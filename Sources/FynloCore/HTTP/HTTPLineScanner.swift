// Finds the lines of a message head, of chunk sizes and of trailers. It remembers how far it has looked, so that a line
// that arrives byte by byte is looked at once, and it refuses what two readers could split into different lines.

/// RFC 9112 §2.2: lines end with CR LF and hold no other control character than the tab.
struct HTTPLineScanner: Sendable {
    /// Bytes of the current line that are known to be fine.
    private(set) var scanned = 0

    /// The end of the line that begins at `start`: the position of its CR LF, or `nil` when that has not arrived.
    ///
    /// Throws `tooLong` as soon as more than `limit` bytes without a line break are there. What is thrown depends on the
    /// bytes of the line only, never on how they were split.
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

/// True if one of the eight bytes of a word is a control character, or may be: a tab is taken for one, and what stands before
/// one in the word. A head is looked through in an eighth of the steps.
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

    /// The fields that were read; leaves none behind.
    mutating func takeHeaders() -> HTTPHeaders {
        var taken = HTTPHeaders()
        swap(&taken, &headers)
        return taken
    }

    /// Reads on at `cursor` and moves it behind what was read; true once the empty line was.
    mutating func read(
        _ bytes: Span<UInt8>, at cursor: inout Int, limits: HTTPLimits
    ) throws(HTTPError) -> Bool {
        while cursor < bytes.count {
            if headers.count >= limits.headerFields, bytes[cursor] != .carriageReturn {
                throw .tooManyFields(limit: limits.headerFields)
            }
            // The empty line does not count; each other line counts with its line break.
            let limit = max(limits.headerBytes - usedBytes - 2, 0)
            let end = try lines.lineEnd(
                in: bytes, from: cursor, limit: limit, tooLong: .headerTooLarge(limitBytes: limits.headerBytes))
            guard let end else { return false }
            let line = bytes.extracting(cursor..<end)
            if line.isEmpty {
                cursor = end + 2
                return true
            }
            // Most heads arrive whole: what is here is a good guess at their size.
            if headers.isEmpty { headers.reserve(bytes: min(bytes.count - cursor, 2_048)) }
            cursor = end + 2
            try headers.append(line: line)
            usedBytes += line.count + 2
        }
        return false
    }
}
