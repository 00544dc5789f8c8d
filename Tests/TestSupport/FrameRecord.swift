// The server's messages during the tests, which scripts/test then compares with api/asyncapi.json.

import Glibc
import Synchronization

/// Collects the server's messages in the file that FYNLO_TEST_FRAMES names, one to a line; without the variable it does
/// nothing.
public enum FrameRecord {
    private static let descriptor: Int32? = {
        guard let path = getenv("FYNLO_TEST_FRAMES") else { return nil }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        return descriptor < 0 ? nil : descriptor
    }()

    /// The shapes that are in the file already.
    private static let shapes = Mutex<Set<UInt64>>([])

    /// Writes a text frame's payload, unless the file has one of the same shape.
    public static func note(_ frame: [UInt8]) {
        guard let descriptor else { return }
        let shape = frame.withUnsafeBufferPointer(shape)
        guard shapes.withLock({ $0.insert(shape).inserted }) else { return }
        // JSON has line breaks only between tokens, where a space means the same.
        let isBreak: (UInt8) -> Bool = { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }
        let line = frame.map { isBreak($0) ? UInt8(ascii: " ") : $0 } + [UInt8(ascii: "\n")]
        // One write appends the whole line, even if another process writes too.
        let written = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        precondition(written == line.count, "FYNLO_TEST_FRAMES cannot be written")
    }

    /// A hash (FNV-1a) of the text with every run of hexadecimal digits counted as one digit: messages that differ only in
    /// their identifiers, times and numbers have the same shape.
    private static func shape(_ text: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        var isInRun = false
        for byte in text {
            let isDigit = byte &- 0x30 < 10 || byte &- 0x61 < 6
            if isDigit, isInRun { continue }
            isInRun = isDigit
            hash = (hash ^ UInt64(isDigit ? 0x23 : byte)) &* 0x100_0000_01b3
        }
        return hash
    }
}
