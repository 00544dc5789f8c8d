import FynloCore
import Testing

@Suite("LeaseBook")
struct LeaseBookTests {
    private let here = RestaurantID(UUID128(high: 1, low: 1))
    private let there = RestaurantID(UUID128(high: 1, low: 2))
    private let clock = UnixTime(milliseconds: 1_000)

    private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    /// A book whose lease was renewed at 0 s.
    private func book() -> LeaseBook {
        var book = LeaseBook(terms: LeaseTerms())
        #expect(book.renewed(sentAt: at(0), wasThere: false, restaurants: []) == .first)
        return book
    }

    @Test("a lease that is renewed every 3 s survives two lost renewals, and holds 10 s from the sending of the last")
    func renewal() {
        let terms = LeaseTerms()
        #expect(terms.renewalInterval * 3 < terms.lifetime)
        var book = LeaseBook(terms: terms)
        #expect(!book.isShared(now: at(0)))
        #expect(book.renewed(sentAt: at(0), wasThere: false, restaurants: []) == .first)
        #expect(book.isShared(now: at(9)))
        #expect(!book.isShared(now: at(10)))
        #expect(book.renewed(sentAt: at(9), wasThere: true, restaurants: [here]) == .held)
        #expect(book.isShared(now: at(18)))
        #expect(book.nextToWrite() == nil)
    }

    @Test("after a lapse all restaurants are written anew, each once, and nothing is shared until the last one is")
    func lapse() {
        var book = book()
        #expect(book.renewed(sentAt: at(20), wasThere: false, restaurants: [here, there]) == .lapsed)
        let restaurants = [book.nextToWrite(), book.nextToWrite()]
        #expect(Set(restaurants) == [here, there])
        #expect(book.nextToWrite() == nil)
        book.written(here)
        #expect(!book.isShared(now: at(21)))
        book.notWritten(there)
        #expect(!book.isShared(now: at(21)))
        #expect(book.nextToWrite() == there)
        book.written(there)
        #expect(book.isShared(now: at(21)))
    }

    @Test("one that lapses while it is being written is written once more")
    func lapseAmid() {
        var book = book()
        book.admittedAlone(1, to: here, mayBeWritten: false, now: clock)
        #expect(book.nextToWrite() == here)
        #expect(book.renewed(sentAt: at(5), wasThere: false, restaurants: [here]) == .lapsed)
        #expect(book.nextToWrite() == nil)
        book.written(here)
        #expect(!book.isShared(now: at(6)))
        #expect(book.nextToWrite() == here)
    }

    @Test("who was admitted without the others is written later, behind those who were there before")
    func order() {
        var book = book()
        book.admitted(4, order: 5_000_000)
        #expect(book.isShared(now: at(1)))
        // The clock of this machine is behind.
        book.admittedAlone(9, to: here, mayBeWritten: false, now: clock)
        book.admittedAlone(7, to: here, mayBeWritten: false, now: clock)
        #expect(!book.isShared(now: at(1)))
        #expect(book.nextToWrite() == here)
        let slots = book.write([7, 9, 4, 100])
        #expect(slots.map(\.connection) == [4, 9, 7])
        #expect(slots.map(\.order) == [5_000_000, 5_000_001, 5_000_002])
    }

    @Test("takes any order and any clock", arguments: [Int64.min, -1, 0, .max])
    func extremes(number: Int64) {
        var book = book()
        book.admitted(1, order: number)
        book.admittedAlone(2, to: here, mayBeWritten: false, now: UnixTime(milliseconds: number))
        book.admittedAlone(3, to: here, mayBeWritten: false, now: UnixTime(milliseconds: number / 1_000))
        let slots = book.write([3, 2, 1])
        #expect(slots.map(\.connection) == [1, 2, 3])
        #expect(slots.allSatisfy { $0.order >= 0 })
    }

    @Test("gives back what the table may have taken, and only that, until it is done")
    func returns() {
        var book = book()
        book.admitted(1, order: 1)
        book.admittedAlone(2, to: here, mayBeWritten: true, now: clock)
        book.admittedAlone(3, to: here, mayBeWritten: false, now: clock)
        book.admittedAlone(4, to: here, mayBeWritten: false, now: clock)
        _ = book.write([4])
        for connection: UInt64 in 1...5 { book.left(connection, here) }
        #expect(book.count == 0 && !book.holds(1))
        #expect(book.takeReturned() == [here: [1, 2, 4]])
        #expect(book.takeReturned().isEmpty)
        book.notReturned([2], here)
        #expect(book.takeReturned() == [here: [2]])
    }

    @Test("reviews every restaurant within a minute, a few with each renewal", arguments: [0, 1, 19, 20, 21, 1_000])
    func review(count: Int) {
        var book = book()
        let restaurants = (0..<count).map { RestaurantID(UUID128(high: 0, low: UInt64($0))) }
        for _ in 0..<3 {
            var reviewed: [RestaurantID] = []
            for _ in 0..<20 where reviewed.count < count { reviewed += book.review(restaurants) }
            #expect(reviewed.count == count && Set(reviewed) == Set(restaurants))
        }
        #expect(LeaseTerms().reviews(of: 1_000) == 50)
    }
}
