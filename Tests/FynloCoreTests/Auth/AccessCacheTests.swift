import FynloCore
import Testing

@Suite("AccessCache")
struct AccessCacheTests {
    private static let here = Sample.restaurant
    private static let start = Instant(nanoseconds: 1_000_000_000_000)

    private static func at(_ milliseconds: Int64) -> Instant { start + .milliseconds(milliseconds) }

    private static func record(menu: Int64 = 5, access: Int64 = 3) -> AccessRecord {
        AccessRecord(
            user: Sample.user, role: .employee, userIsActive: true, homeRestaurant: here, isMember: false,
            restaurantIsActive: true, head: 0, menuVersion: menu, accessVersion: access)
    }

    private static func counters(
        menu: Int64 = 5, access: Int64 = 3, _ restaurant: RestaurantID = here
    ) -> StreamCounters {
        StreamCounters(restaurant: restaurant, head: 0, menuVersion: menu, accessVersion: access)
    }

    /// A reader, `a`, was looked up: asked at 0, answered at 10.
    private static func known() -> AccessCache {
        var known = AccessCache(limits: Limits())
        #expect(known.read(by: "a", with: record(), in: here, askedAt: at(0), now: at(10)) == 5)
        return known
    }

    /// Somebody is looked up, which takes 10 ms.
    private static func look(
        _ known: inout AccessCache, at milliseconds: Int64, took: Int64 = 10, _ subject: String = "a",
        menu: Int64 = 5, access: Int64 = 3
    ) -> Int64 {
        known.read(
            by: subject, with: record(menu: menu, access: access), in: here, askedAt: at(milliseconds),
            now: at(milliseconds + took))
    }

    private static func version(
        _ known: inout AccessCache, _ milliseconds: Int64, _ subject: String = "a"
    ) -> Int64? {
        known.record(of: subject, in: here, now: at(milliseconds))?.menuVersion
    }

    private static func lastVersion(_ known: inout AccessCache, _ milliseconds: Int64) -> Int64? {
        known.lastRecord(of: "a", in: here, now: at(milliseconds))?.menuVersion
    }

    @Test("relies on an answer for a second from when it was asked for, and no longer")
    func lifetime() {
        var known = Self.known()
        #expect(Self.version(&known, 10) == 5)
        #expect(Self.version(&known, 1_000) == 5)
        #expect(Self.version(&known, 1_001) == nil)
        // The pulse goes on with it, for all who are known.
        _ = Self.look(&known, at: 900, "b")
        #expect(Self.version(&known, 1_900, "a") == 5)
        known.found(Self.counters(), askedAt: Self.at(1_800))
        #expect(Self.version(&known, 2_800, "a") == 5)
        #expect(Self.version(&known, 2_801, "b") == nil)
        // An answer that was long on its way is old already.
        known.found(Self.counters(), askedAt: Self.at(2_000))
        #expect(Self.version(&known, 3_001) == nil)
    }

    @Test("knows nobody else, and nobody elsewhere")
    func strangers() {
        var known = Self.known()
        #expect(Self.version(&known, 10, "b") == nil)
        #expect(known.record(of: "a", in: Sample.otherRestaurant, now: Self.at(10)) == nil)
    }

    @Test("knows a new version from whoever tells it first, and never less again")
    func versions() {
        var known = Self.known()
        known.menuUpdated(Self.here, to: 6, now: Self.at(100))
        #expect(Self.version(&known, 100) == 6)
        // What was asked before it was told.
        known.found(Self.counters(menu: 5), askedAt: Self.at(50))
        known.found(Self.counters(menu: 5), askedAt: Self.at(100))
        #expect(Self.version(&known, 120) == 6)
        #expect(Self.look(&known, at: 90, took: 40) == 6)
        known.menuUpdated(Self.here, to: 4, now: Self.at(140))
        #expect(Self.version(&known, 140) == 6)
        known.found(Self.counters(menu: 8), askedAt: Self.at(150))
        #expect(Self.version(&known, 160) == 8)
        // Answers that overtake each other.
        known.found(Self.counters(menu: 7), askedAt: Self.at(145))
        #expect(Self.version(&known, 160) == 8)
    }

    @Test("follows a database that was restored to an earlier day")
    func restored() {
        var known = Self.known()
        known.menuUpdated(Self.here, to: 90, now: Self.at(100))
        known.found(Self.counters(menu: 2, access: 1), askedAt: Self.at(900))
        #expect(Self.version(&known, 910) == nil)
        #expect(Self.look(&known, at: 920, menu: 2, access: 1) == 2)
        // Whose rights were found at a later version, which is no more, is looked up anew by the next reader.
        #expect(Self.version(&known, 940) == nil)
    }

    @Test("forgets who was let in when the access has changed")
    func access() {
        var known = Self.known()
        _ = Self.look(&known, at: 20, "b", access: 4)
        #expect(Self.version(&known, 40, "a") == nil)
        #expect(Self.version(&known, 40, "b") == 5)
        known.found(Self.counters(access: 5), askedAt: Self.at(50))
        #expect(Self.version(&known, 60, "b") == nil)
        #expect(known.lastRecord(of: "b", in: Self.here, now: Self.at(60)) == nil)
        // A slow look-up by which the user was in order at an older version.
        _ = Self.look(&known, at: 25, took: 45, "b", access: 4)
        #expect(Self.version(&known, 80, "b") == nil)
    }

    @Test("does not believe a hint, but asks before it goes on")
    func hints() {
        var known = Self.known()
        // Nothing new, or old.
        known.hint(Self.counters(), now: Self.at(20))
        known.hint(Self.counters(menu: 4, access: 2), now: Self.at(20))
        #expect(Self.version(&known, 30) == 5)
        for (number, hint) in [Self.counters(menu: 99), Self.counters(access: 99)].enumerated() {
            let time = Int64(100 + number * 200)
            known.hint(hint, now: Self.at(time))
            #expect(Self.version(&known, time + 1) == nil)
            // An answer that was asked for before says nothing.
            known.found(Self.counters(), askedAt: Self.at(time))
            #expect(Self.version(&known, time + 10) == nil)
            known.found(Self.counters(), askedAt: Self.at(time + 1))
            #expect(Self.version(&known, time + 10) == 5)
        }
        known.hint(Self.counters(menu: 99, Sample.otherRestaurant), now: Self.at(700))
    }

    @Test("is enough for a minute while the database is away, unless rights were said to have changed")
    func away() {
        var known = Self.known()
        #expect(Self.lastVersion(&known, 60_000) == 5)
        #expect(Self.lastVersion(&known, 60_001) == nil)
        // The newest version that anybody was told of.
        known.menuUpdated(Self.here, to: 6, now: Self.at(100))
        #expect(Self.lastVersion(&known, 1_500) == 6)
        // That there may be a newer one is what STALE says.
        known.hint(Self.counters(menu: 7), now: Self.at(1_600))
        #expect(Self.lastVersion(&known, 1_700) == 6)
        known.hint(Self.counters(access: 4), now: Self.at(1_800))
        #expect(Self.lastVersion(&known, 1_900) == nil)
    }

    @Test("does not rely on a look-up that was asked for before news came")
    func newsMeanwhile() {
        let news: [(inout AccessCache) -> Void] = [
            { $0.menuUpdated(Self.here, to: 6, now: Self.at(5)) },
            { $0.hint(Self.counters(menu: 6), now: Self.at(5)) },
        ]
        for news in news {
            var known = AccessCache(limits: Limits())
            news(&known)
            // Sent at 0; it does not know of what was told at 5.
            #expect(Self.look(&known, at: 0) == 5)
            #expect(Self.version(&known, 10) == nil)
            #expect(Self.look(&known, at: 11, menu: 6) == 6)
            #expect(Self.version(&known, 21) == 6)
        }
    }

    @Test("is asked about for a minute after the menu was last read, and is gone with its restaurant")
    func watched() {
        var known = Self.known()
        known.lookedUp(Self.record(), in: Sample.otherRestaurant, askedAt: Self.at(0), now: Self.at(0))
        #expect(Set(known.watched(now: Self.at(60_000))) == [Self.here, Sample.otherRestaurant])
        #expect(known.watched(now: Self.at(60_010)) == [Self.here])
        #expect(Self.lastVersion(&known, 60_000) == 5)
        #expect(known.watched(now: Self.at(120_000)) == [Self.here])
        known.missing(Self.here)
        #expect(known.watched(now: Self.at(120_000)).isEmpty)
        #expect(Self.version(&known, 120_000) == nil)
    }

    @Test("is bounded")
    func bounded() {
        var limits = Limits()
        (limits.cachedRestaurants, limits.cachedReaders) = (10, 20)
        var known = AccessCache(limits: limits)
        for number in 0..<100 {
            let restaurant = RestaurantID(UUID128(high: 1, low: UInt64(number)))
            for subject in ["a", "b", "c"] {
                _ = known.read(by: subject, with: Self.record(), in: restaurant, askedAt: Self.at(1), now: Self.at(2))
            }
        }
        #expect(known.watched(now: Self.at(3)).count == 10)
        let last = RestaurantID(UUID128(high: 1, low: 99))
        #expect(known.record(of: "c", in: last, now: Self.at(3)) != nil)
        let tenth = RestaurantID(UUID128(high: 1, low: 90))
        #expect(known.record(of: "c", in: tenth, now: Self.at(3)) == nil)
    }
}
