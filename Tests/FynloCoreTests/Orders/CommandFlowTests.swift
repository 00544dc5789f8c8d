import FynloCore
import Testing

private func update(_ id: String?) -> Command {
    Command(
        id: id, work: .updateStatus(OrderStatusUpdate(order: Sample.order, status: .ready, expectedVersion: nil)))
}

private func relay(_ id: String?, bytes: Int = 10) -> Command {
    Command(id: id, work: .relay(ByteBuffer([UInt8](repeating: 0x78, count: bytes))))
}

extension CommandFlow {
    fileprivate mutating func finished() -> [String] { finish().map { $0.id ?? "-" } }
}

@Suite("CommandFlow")
struct CommandFlowTests {
    @Test("the first command starts, the others wait, and each finish starts the next")
    func order() {
        var flow = CommandFlow()
        #expect(flow.submit(update("1"), limit: 64) == .starts)
        #expect(flow.submit(update("2"), limit: 64) == .waits)
        #expect(flow.submit(update("3"), limit: 64) == .waits)
        #expect(flow.current?.id == "1" && flow.waitingCount == 2)
        #expect(flow.finished() == ["2"])
        #expect(flow.current?.id == "2" && flow.waitingCount == 1)
        #expect(flow.finished() == ["3"])
        #expect(flow.finished() == [])
        #expect(flow.current == nil && flow.waitingCount == 0)
        #expect(flow.submit(update("4"), limit: 64) == .starts)
    }

    @Test("a relay is over at once, but does not overtake")
    func relays() {
        var flow = CommandFlow()
        #expect(flow.submit(relay("1"), limit: 64) == .starts)
        #expect(flow.submit(relay("2"), limit: 64) == .starts)
        #expect(flow.submit(update("3"), limit: 64) == .starts)
        for id in ["4", "5"] { #expect(flow.submit(relay(id), limit: 64) == .waits) }
        #expect(flow.submit(update("6"), limit: 64) == .waits)
        #expect(flow.submit(relay("7"), limit: 64) == .waits)
        #expect(flow.finished() == ["4", "5", "6"])
        #expect(flow.current?.id == "6" && flow.waitingCount == 1)
        #expect(flow.finished() == ["7"])
        #expect(flow.current == nil)
    }

    @Test("a full queue refuses, and takes again once one is done")
    func full() {
        var flow = CommandFlow()
        _ = flow.submit(update("now"), limit: 64)
        for number in 1...64 { #expect(flow.submit(update("\(number)"), limit: 64) == .waits) }
        #expect(flow.submit(update("65"), limit: 64) == .refused)
        #expect(flow.submit(relay("65"), limit: 64) == .refused)
        #expect(flow.waitingCount == 64)
        #expect(flow.finished() == ["1"])
        #expect(flow.submit(update("66"), limit: 64) == .waits)
        #expect(flow.submit(update("67"), limit: 64) == .refused)
    }

    @Test("what waits holds no more than 256 KiB together")
    func bytes() {
        var flow = CommandFlow()
        _ = flow.submit(update("now"), limit: 64)
        for _ in 0..<4 { #expect(flow.submit(relay(nil, bytes: 65_536), limit: 64) == .waits) }
        #expect(flow.submit(relay(nil, bytes: 1), limit: 64) == .refused)
        #expect(flow.finish().count == 4)
        // All is given back, whether it ran or was abandoned.
        _ = flow.submit(update("now"), limit: 64)
        #expect(flow.submit(relay(nil, bytes: 262_144), limit: 64) == .waits)
        #expect(flow.submit(update("late"), limit: 64) == .refused)
        #expect(flow.abandon().count == 2)
        _ = flow.submit(update("now"), limit: 64)
        #expect(flow.submit(relay(nil, bytes: 262_145), limit: 64) == .refused)
        #expect(flow.submit(relay(nil, bytes: 262_144), limit: 64) == .waits)
    }

    @Test("abandoning gives back the current command and all behind it, in order, and starts anew")
    func abandon() {
        var flow = CommandFlow()
        #expect(flow.abandon().isEmpty)
        for id in ["1", "2", "3"] { _ = flow.submit(update(id), limit: 64) }
        _ = flow.submit(relay("4"), limit: 64)
        #expect(flow.abandon().map(\.id) == ["1", "2", "3", "4"])
        #expect(flow.current == nil && flow.waitingCount == 0)
        #expect(flow.submit(update("5"), limit: 64) == .starts)
    }

    @Test("forgetting what waits leaves the current command, and room")
    func dropWaiting() {
        var flow = CommandFlow()
        _ = flow.submit(update("now"), limit: 64)
        _ = flow.submit(relay("2", bytes: 262_144), limit: 64)
        flow.dropWaiting()
        #expect(flow.current?.id == "now" && flow.waitingCount == 0)
        #expect(flow.submit(relay("3", bytes: 262_144), limit: 64) == .waits)
    }

    @Test("every command comes out once and in order", arguments: 0..<20 as Range<UInt64>)
    func model(seed: UInt64) {
        var generator = SeededBytes(seed)
        var flow = CommandFlow()
        var (submitted, out) = ([String](), [String]())
        for number in 0..<400 {
            if Int.random(in: 0..<3, using: &generator) > 0 {
                let id = "\(number)"
                let isRelay = Bool.random(using: &generator)
                switch flow.submit(isRelay ? relay(id) : update(id), limit: 8) {
                case .starts:
                    submitted.append(id)
                    out.append(id)
                case .waits: submitted.append(id)
                case .refused: #expect(flow.waitingCount == 8)
                }
            } else if flow.current != nil {
                if Int.random(in: 0..<10, using: &generator) == 0 {
                    // Its first was out already.
                    out += flow.abandon().dropFirst().compactMap(\.id)
                } else {
                    out += flow.finished()
                }
            }
            #expect(flow.waitingCount <= 8 && (flow.current != nil || flow.waitingCount == 0))
        }
        while flow.current != nil { out += flow.finished() }
        #expect(out == submitted, "seed \(seed)")
    }
}
