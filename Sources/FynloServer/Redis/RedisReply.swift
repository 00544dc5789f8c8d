// Redis' answers: the value, and its parser. hiredis parses the bytes. Two weaknesses that matter if the peer sends garbage are
// corrected here: it would reserve memory for any number of elements that an array announces, and it would search an endless
// line from its start each time.

import CHiredis
import FynloCore
import Glibc

/// One answer (RESP 2).
enum RedisReply: Equatable, Sendable {
    /// The key or the element does not exist.
    case null
    case integer(Int64)
    /// A value of any bytes, possibly empty.
    case string([UInt8])
    /// A short answer such as `OK`.
    case status(String)
    /// A refusal: a code in capitals and a sentence, as in `WRONGTYPE Operation against …`.
    case error(String)
    case array([RedisReply])
}

/// Turns the bytes of one connection into replies.
final class RedisReplyReader {
    /// The largest number of elements of all arrays in one reply. An element costs about 100 bytes, so this is about 13 MB.
    static let elementLimit = 131_072
    /// The largest number of bytes of a reply that is not a string. Redis' own lines are far shorter.
    static let lineLimitBytes = 65_536

    /// The state of the callback for arrays; hiredis passes a pointer to it.
    private struct ArrayGuard {
        /// The number of elements that this reply may still announce.
        var elementsLeft: Int
        let original: redisReplyObjectFunctions
    }

    private let ownBeginning: [UInt8]
    private let reader: UnsafeMutablePointer<redisReader>
    /// hiredis' own functions, except the one that makes arrays. hiredis uses the table as long as the reader lives.
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    private let arrayGuard: UnsafeMutablePointer<ArrayGuard>
    /// The number of bytes of the incomplete reply.
    private(set) var pendingBytes = 0
    /// The reason why nothing more can be read.
    private var fault: String?

    /// Skips channel messages whose payload begins with `ownBeginning`; if it is empty, none are skipped.
    init(passingOver ownBeginning: [UInt8] = []) {
        self.ownBeginning = ownBeginning
        guard let reader = redisReaderCreate(), let original = reader.pointee.fn?.pointee else {
            fatalError("There is no memory for a reader of Redis replies.")
        }
        self.reader = reader
        arrayGuard = .allocate(capacity: 1)
        arrayGuard.initialize(to: ArrayGuard(elementsLeft: Self.elementLimit, original: original))
        functions = .allocate(capacity: 1)
        functions.initialize(to: original)
        functions.pointee.createArray = { task, count in
            guard let task, let memory = task.pointee.privdata else { return nil }
            let arrayGuard = memory.assumingMemoryBound(to: ArrayGuard.self)
            guard count <= arrayGuard.pointee.elementsLeft else { return nil }
            arrayGuard.pointee.elementsLeft -= Int(count)
            return arrayGuard.pointee.original.createArray(task, count)
        }
        reader.pointee.fn = functions
        reader.pointee.privdata = UnsafeMutableRawPointer(arrayGuard)
    }

    deinit {
        redisReaderFree(reader)  // frees an incomplete reply with `functions`
        functions.deallocate()
        arrayGuard.deallocate()
    }

    /// Adds received bytes.
    func feed(_ bytes: Span<UInt8>) {
        bytes.withUnsafeBytes { room in
            guard let start = room.baseAddress else { return }
            // If memory runs out, or after garbage, the reader has an error, which `next` finds.
            _ = redisReaderFeed(reader, start.assumingMemoryBound(to: CChar.self), room.count)
        }
        pendingBytes += bytes.count
    }

    /// The result of `next`.
    enum Progress: Equatable {
        case reply(RedisReply)
        /// A channel message that this process sent itself.
        case passedOver
        case needsMoreBytes
        /// The peer is not Redis, or out of step. Nothing more can be read. The sentence is for the log and contains no data.
        case rubbish(String)
    }

    /// The next complete reply. After garbage, the result is always garbage.
    func next() -> Progress {
        if let fault { return .rubbish(fault) }
        var object: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &object) == REDIS_OK else { return fail(Self.protocolError) }
        guard let object else { return isEndlessLine ? fail("It sent an endless line.") : .needsMoreBytes }
        defer { arrayGuard.pointee.original.freeObject(object) }
        pendingBytes = reader.pointee.len - reader.pointee.pos
        arrayGuard.pointee.elementsLeft = Self.elementLimit
        let made = object.assumingMemoryBound(to: redisReply.self)
        if isOwn(made) { return .passedOver }
        guard let reply = Self.copy(made) else {
            return fail(Self.protocolError)
        }
        return .reply(reply)
    }

    private static let protocolError = "It does not speak the protocol of Redis, or sent too long an array."

    private func fail(_ reason: String) -> Progress {
        fault = reason
        return .rubbish(reason)
    }

    /// True if the next part of a reply is a line that is too long. A complete line would have been consumed, so a line
    /// break near the start ends the length of a string, and the string follows.
    private var isEndlessLine: Bool {
        let position = reader.pointee.pos
        guard reader.pointee.len - position > Self.lineLimitBytes, let bytes = reader.pointee.buf else { return false }
        let start = UnsafeBufferPointer(start: bytes + position, count: 32)
        return !start.contains(CChar(UInt8(ascii: "\n")))
    }

    /// A copy of hiredis' reply; nil for types that RESP 2 does not have. hiredis nests arrays at most 7 deep.
    private static func copy(_ object: UnsafeMutablePointer<redisReply>) -> RedisReply? {
        switch object.pointee.type {
        case REDIS_REPLY_NIL:
            return .null
        case REDIS_REPLY_INTEGER:
            return .integer(object.pointee.integer)
        case REDIS_REPLY_STRING:
            return .string(Array(bytes(of: object)))
        case REDIS_REPLY_STATUS:
            return .status(String(decoding: bytes(of: object), as: UTF8.self))
        case REDIS_REPLY_ERROR:
            return .error(String(decoding: bytes(of: object), as: UTF8.self))
        case REDIS_REPLY_ARRAY:
            var elements: [RedisReply] = []
            elements.reserveCapacity(object.pointee.elements)
            for position in 0..<object.pointee.elements {
                guard let element = object.pointee.element?[position], let reply = copy(element) else { return nil }
                elements.append(reply)
            }
            return .array(elements)
        default:
            return nil
        }
    }

    /// True for `["message", channel, payload]` if this process sent the payload.
    private func isOwn(_ object: UnsafeMutablePointer<redisReply>) -> Bool {
        guard !ownBeginning.isEmpty, object.pointee.type == REDIS_REPLY_ARRAY, object.pointee.elements == 3,
            let elements = object.pointee.element, let kind = elements[0], let payload = elements[2],
            kind.pointee.type == REDIS_REPLY_STRING, payload.pointee.type == REDIS_REPLY_STRING
        else { return false }
        let bytes = Self.bytes(of: payload)
        guard let start = bytes.baseAddress, bytes.count >= ownBeginning.count else { return false }
        return memcmp(start, ownBeginning, ownBeginning.count) == 0
            && Self.bytes(of: kind).elementsEqual("message".utf8)
    }

    private static func bytes(of object: UnsafeMutablePointer<redisReply>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: object.pointee.str, count: object.pointee.str == nil ? 0 : object.pointee.len)
    }
}
