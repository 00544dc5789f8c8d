import FynloCore
import Testing

@Suite("MenuCopies")
struct MenuCopiesTests {
    private static let part = MenuPart.categories(Sample.restaurant)

    private static func page(_ number: Int) -> MenuPart {
        .page(
            MenuPageRequest(
                restaurant: Sample.restaurant, category: nil, page: number, limit: 50, includesInactive: false))
    }

    private static func document(version: Int64, bytes: Int = 10, as part: MenuPart = part) -> MenuDocument {
        let body = [UInt8](repeating: 0x20, count: bytes)
        return MenuDocument(part, version: version, total: 0, body: body, digest: SHA1.digest(body.span))
    }

    @Test("gives a copy to who asks for its version only")
    func version() {
        var copies = MenuCopies(limits: Limits())
        copies.keep(Self.document(version: 5))
        #expect(copies.copy(of: Self.part, version: 5)?.version == 5)
        #expect(copies.copy(of: Self.page(1), version: 5) == nil)
        #expect(copies.copy(of: Self.part, version: 5) != nil)
        // Who asks for another one ends it: also for an earlier one, as when the database was restored.
        for other in [6, 4] as [Int64] {
            copies.keep(Self.document(version: 5))
            #expect(copies.copy(of: Self.part, version: other) == nil)
            #expect(copies.byteCount == 0)
        }
    }

    @Test("does not give a newer copy up for what a slow reader brings")
    func slowReader() {
        var copies = MenuCopies(limits: Limits())
        copies.keep(Self.document(version: 5))
        copies.keep(Self.document(version: 4))
        #expect(copies.copy(of: Self.part, version: 5) != nil)
        copies.keep(Self.document(version: 6))
        #expect(copies.copy(of: Self.part, version: 6) != nil)
    }

    @Test("stays within its bound, whatever is kept")
    func bound() {
        var limits = Limits()
        limits.menuCopiesBytes = 100_000
        var copies = MenuCopies(limits: limits)
        for number in 1...100 {
            copies.keep(Self.document(version: 1, bytes: 9_000, as: Self.page(number)))
            #expect(copies.byteCount <= 100_000)
        }
        #expect(copies.copy(of: Self.page(100), version: 1) != nil)
        #expect(copies.copy(of: Self.page(1), version: 1) == nil)
        copies.keep(Self.document(version: 1, bytes: 100_000, as: Self.page(101)))
        #expect(copies.copy(of: Self.page(101), version: 1) == nil)
        #expect(copies.copy(of: Self.page(100), version: 1) != nil)
    }

    @Test("has the tag of the bytes, whatever the version")
    func tag() {
        let document = Self.document(version: 1)
        #expect(document.tag == Self.document(version: 2).tag)
        #expect(document.tag != Self.document(version: 1, bytes: 11).tag)
        #expect(document.tag.count == 42 && document.tag.hasPrefix("\"") && document.tag.hasSuffix("\""))
    }

    @Test(
        "a menu.updated tells its version, and no other event does",
        arguments: [
            ("menu.updated", #"{"version": 7}"#, 7),
            ("menu.updated", #"{"a": [], "version":9007199254740993}"#, 9_007_199_254_740_993),
            ("menu.updated", "{}", nil), ("menu.updated", #"{"version": "7"}"#, nil), ("menu.updated", "rubbish", nil),
            ("order.updated", #"{"version": 7}"#, nil),
        ] as [(String, String, Int64?)])
    func event(type: String, data: String, version: Int64?) {
        let event = DurableEvent(
            restaurant: Sample.restaurant, sequence: 1, type: type, data: Array(data.utf8), createdAt: Sample.time)
        #expect(event.menuVersion == version)
        #expect(EventFrame(event).menuVersion == version)
    }
}
