import FynloCore
import Testing

@Suite("ByteBuffer")
struct ByteBufferTests {
    @Test("behaves like a queue of bytes, whatever the sizes appended and consumed")
    func queue() {
        var buffer = ByteBuffer()
        var model: [UInt8] = []
        var next: UInt8 = 0
        var state: UInt64 = 42
        for _ in 0..<5_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let size = Int(state >> 33) % 100
            if state & 1 << 20 == 0 {
                let bytes = (0..<size).map { _ -> UInt8 in
                    next &+= 1
                    return next
                }
                buffer.append(bytes)
                model += bytes
            } else {
                let taken = min(size, model.count)
                buffer.consume(taken)
                model.removeFirst(taken)
            }
            #expect(buffer.count == model.count)
            #expect(buffer.isEmpty == model.isEmpty)
        }
        #expect(buffer.bytes() == model)
    }

    @Test("keeps consumed bytes readable by position until the next append")
    func positions() {
        var buffer = ByteBuffer("hello world")
        let start = buffer.readPosition
        buffer.consume(6)
        #expect(buffer.withBytes(at: start..<start + 5) { String(validating: $0) } == "hello")
        #expect(buffer.bytes() == Array("world".utf8))
    }

    @Test("inserts room in the middle, also when it has to grow", arguments: [0, 3, 5])
    func insert(offset: Int) {
        var buffer = ByteBuffer("xxhello")
        buffer.consume(2)
        buffer.insertZeros(8, at: buffer.readPosition + offset)
        var expected = Array("hello".utf8)
        expected.insert(contentsOf: [UInt8](repeating: 0, count: 8), at: offset)
        #expect(buffer.bytes() == expected)
    }

    @Test("writes decimals", arguments: [0, 9, 10, -1, 1_234_567_890, .min, .max] as [Int64])
    func decimals(number: Int64) {
        var buffer = ByteBuffer()
        buffer.append(decimal: number)
        #expect(buffer.bytes() == Array(String(number).utf8))
    }

    @Test("lends room to write into and takes back what was not used")
    func writable() {
        var buffer = ByteBuffer("ab")
        let written = buffer.withWritable(atLeast: 1_000) { room in
            #expect(room.count >= 1_000)
            room[0] = UInt8(ascii: "c")
            return 1
        }
        #expect(written == 1)
        #expect(buffer.bytes() == Array("abc".utf8))
        buffer.truncate(to: 2)
        #expect(buffer.bytes() == Array("ab".utf8))
    }
}
