import FynloCore
import FynloIO
import Glibc
import Testing

@Suite("Process and signatures")
struct ProcessTests {
    @Test("raises the descriptor limit to the hard one")
    func descriptorLimit() {
        let limit = ProcessSetup.raiseDescriptorLimit()
        #expect(limit > 0)
        #expect(ProcessSetup.raiseDescriptorLimit() == limit)
    }

    @Test("reports the resources of the process")
    func figures() throws {
        let before = ProcessFigures.read()
        #expect(before.residentBytes > 1 << 20 && before.processorSeconds > 0)
        #expect(before.openDescriptors >= 3 && before.openDescriptors <= before.descriptorLimit)
        // Many, as other tests open and close theirs at the same time.
        let loops = try (0..<200).map { _ in try EventLoop() }
        #expect(ProcessFigures.read().openDescriptors > before.openDescriptors + 100)
        for loop in loops { loop.close() }
    }

    @Test("reports the processor time of a process by its ID, and none for a process that does not exist")
    func processorTime() throws {
        let before = SystemClock.processorTime
        let own = try #require(SystemClock.processorTime(of: Int(getpid())))
        #expect(own >= before && own <= SystemClock.processorTime)
        #expect(SystemClock.processorTime(of: Int(Int32.max)) == nil && SystemClock.processorTime(of: .max) == nil)
    }

    @Test("random bytes come in the number asked for and differ")
    func randomBytes() {
        #expect(ProcessSetup.randomBytes(0) == [])
        #expect(ProcessSetup.randomBytes(4096).count == 4096)
        #expect(ProcessSetup.randomBytes(16) != ProcessSetup.randomBytes(16))
    }

    @Test("the clocks agree with the kernel's and the monotonic one does not go back")
    func clock() {
        let first = SystemClock.now
        let second = SystemClock.now
        #expect(second.instant >= first.instant)
        #expect(abs(Int64(time(nil)) - second.unixTime.seconds) <= 1)
    }

    @Test(
        "HMAC-SHA256 of RFC 4231, and of nothing",
        arguments: [
            (
                [UInt8](repeating: 0x0b, count: 20), "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8), "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                [UInt8](repeating: 0xaa, count: 131), "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
            ([], "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
        ])
    func hmac(key: [UInt8], message: String, expected: String) throws {
        let code = Digest.hmacSHA256(key: key, message: Array(message.utf8))
        let hex = code.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        #expect(hex == expected)
        // As tokens are checked: the key is made ready once, and used for one message after the other.
        let keyring = try TokenKeyring(secret: key)
        func isValid(_ signature: [UInt8], of text: String) -> Bool {
            keyring.isValid(signature: signature, of: text.utf8Span.span, algorithm: .hs256, keyID: nil)
        }
        for _ in 0..<3 {
            #expect(isValid(code, of: message))
            #expect(!isValid(code, of: message + "."))
            #expect(!isValid(Array(code.dropLast()), of: message))
            #expect(!isValid(code + [0], of: message))
            #expect(!isValid([], of: message))
            for place in [0, 15, 31] {
                var changed = code
                changed[place] ^= 0x80
                #expect(!isValid(changed, of: message))
            }
        }
    }
}
