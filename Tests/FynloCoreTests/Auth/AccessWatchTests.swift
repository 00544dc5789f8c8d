import FynloCore
import Testing

@Suite("AccessWatch")
struct AccessWatchTests {
    @Test("asks when the version moves, once, and again only after the answer")
    func moves() {
        var watch = AccessWatch(version: 5)
        #expect([watch.found(5), watch.found(6), watch.found(6), watch.found(7)] == [false, true, false, false])
        watch.checked(at: 6)
        #expect([watch.found(6), watch.found(7)] == [false, true])
        watch.checked(at: 7)
        #expect([watch.found(7)] == [false])
    }

    @Test("a restaurant that is no more is a change, too")
    func gone() {
        var watch = AccessWatch(version: 5)
        #expect([watch.found(nil)] == [true])
    }

    @Test("a tablet whose rights were looked up before a change is asked about after it")
    func lateJoiner() {
        var watch = AccessWatch(version: 5)
        #expect([watch.found(6)] == [true])
        watch.checked(at: 6)
        // Its look-up was slower than the change and the check.
        watch.joined(at: 5)
        #expect([watch.found(6)] == [true])
        watch.checked(at: 6)
        #expect([watch.found(6)] == [false])
    }

    @Test("a tablet that comes while rights are being asked for is not taken for checked")
    func joinerMeanwhile() {
        var watch = AccessWatch(version: 5)
        #expect([watch.found(6)] == [true])
        watch.joined(at: 5)
        watch.joined(at: 6)
        watch.checked(at: 6)
        #expect([watch.found(6)] == [true])
        watch.checked(at: 6)
        watch.joined(at: 6)
        #expect([watch.found(6)] == [false])
    }

    @Test("a check that failed is made again")
    func failed() {
        var watch = AccessWatch(version: 5)
        #expect([watch.found(6)] == [true])
        watch.joined(at: 4)
        watch.checkFailed()
        #expect([watch.found(6)] == [true])
        watch.checked(at: 6)
        #expect([watch.found(6)] == [false])
    }
}
