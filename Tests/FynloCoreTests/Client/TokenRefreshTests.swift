import FynloCore
import TestSupport
import Testing

/// A TokenRefresh on a virtual clock.
private final class Refresher {
    private var state: TokenRefresh
    private(set) var clock: VirtualClock

    init(_ state: TokenRefresh, _ clock: VirtualClock) {
        self.state = state
        self.clock = clock
    }

    var token: HeldToken? { state.token }
    var isRefreshing: Bool { state.isRefreshing }
    var nextDeadline: Instant? { state.nextDeadline(now: clock.now) }

    func request(forced: Bool = false) -> TokenRefresh.Answer { state.request(forced: forced, now: clock.now) }

    @discardableResult
    func deliver(_ result: Result<String, TokenFailure>) -> Result<HeldToken, TokenFailure> {
        state.deliver(result, now: clock.now)
    }

    func tick() -> Bool { state.tick(now: clock.now) }

    func advance(_ duration: Duration) { clock.advance(duration) }
}

@Suite("Token refresh")
struct TokenRefreshTests {
    private let clock = VirtualClock()

    private func token(_ name: String, lasts: Duration) -> String {
        FakeToken.make(
            name,
            expiresAt: UnixTime(milliseconds: clock.now.unixTime.milliseconds / 1000 * 1000 + lasts.inMilliseconds))
    }

    private func refresh(_ name: String? = "t0", lasts: Duration = .seconds(3_600)) throws -> Refresher {
        Refresher(TokenRefresh(token: try name.map { try HeldToken(token($0, lasts: lasts)) }, canRefresh: true), clock)
    }

    @Test("a token that is good for more than a minute is at hand, one that is not is renewed")
    func early() throws {
        let state = try refresh(lasts: .seconds(100))
        let held = try #require(state.token)
        #expect(state.request() == .token(held))
        state.advance(.seconds(41))
        #expect(state.request() == .refresh)
        #expect(state.isRefreshing)
    }

    @Test("one refresh at a time, for all who ask")
    func single() throws {
        let state = try refresh(nil)
        #expect(state.request() == .refresh)
        #expect(state.request() == .wait)
        #expect(state.request(forced: true) == .wait)
        #expect(state.nextDeadline == nil)
        let new = try HeldToken(token("t1", lasts: .seconds(3_600)))
        #expect(state.deliver(.success(new.compact)) == .success(new))
        #expect(state.request() == .token(new))
    }

    @Test("at most one in 5 s: within them a caller gets the token at hand, also when forced")
    func minimumInterval() throws {
        let state = try refresh()
        #expect(state.request(forced: true) == .refresh)
        let new = try HeldToken(token("t1", lasts: .seconds(3_600)))
        state.advance(.seconds(1))
        state.deliver(.success(new.compact))
        #expect(state.request(forced: true) == .token(new))
        state.advance(.milliseconds(3_999))
        #expect(state.request(forced: true) == .token(new))
        state.advance(.milliseconds(1))
        #expect(state.request(forced: true) == .refresh)
    }

    @Test("a refusal clears the token and is what all get for 5 s")
    func refused() throws {
        let state = try refresh()
        _ = state.request(forced: true)
        #expect(state.deliver(.failure(.refused("No."))) == .failure(.refused("No.")))
        #expect(state.token == nil)
        #expect(state.request() == .failure(.refused("No.")))
        #expect(state.nextDeadline == nil)
        state.advance(.seconds(5))
        #expect(state.request() == .refresh)
    }

    @Test("a provider that is away costs no token that is still good")
    func unreachable() throws {
        let state = try refresh(lasts: .seconds(50))
        let held = try #require(state.token)
        #expect(state.request() == .refresh)
        state.deliver(.failure(.unreachable("Away.")))
        #expect(state.token == held)
        #expect(state.request() == .token(held))
        #expect(state.nextDeadline == state.clock.now.instant + .seconds(5))
        state.advance(.seconds(51))
        #expect(state.tick())
        state.deliver(.failure(.unreachable("Away.")))
        #expect(state.token == nil, "it has expired")
    }

    @Test("a token that has expired is not at hand")
    func expiredAtHand() throws {
        let state = try refresh(lasts: .seconds(3))
        #expect(state.request() == .refresh)
        state.deliver(.failure(.unreachable("Away.")))
        state.advance(.seconds(3))
        #expect(state.request(forced: true) == .failure(.unreachable("Away.")))
        state.advance(.seconds(2))
        #expect(state.request(forced: true) == .refresh)
    }

    @Test("the timer renews a minute before the expiry")
    func timer() throws {
        let state = try refresh(lasts: .seconds(3_600))
        let deadline = try #require(state.nextDeadline)
        let left = state.token.map { $0.expiresAt.milliseconds - clock.now.unixTime.milliseconds } ?? 0
        #expect(deadline == state.clock.now.instant + .milliseconds(left - 60_000))
        #expect(!state.tick())
        state.advance(deadline - state.clock.now.instant)
        #expect(state.tick())
        #expect(!state.tick(), "it is under way")
    }

    @Test("what is no token with an expiry, or has expired, is a failure")
    func shape() throws {
        for (text, failure) in [
            ("", .malformed), ("abc", .malformed), ("a.b", .malformed), ("a.b.c", .malformed),
            (token("old", lasts: .seconds(-1)), .expired), (token("old", lasts: .zero), .expired),
            ("\(token("x", lasts: .seconds(60))).more", .malformed),
            ("e30.\(Base64.encode(Array(#"{"sub":"x"}"#.utf8), as: .url)).c2ln", .malformed),
            (
                "\(Base64.encode(Array(#"{"alg":"HS256"}"#.utf8), as: .url))."
                    + "\(Base64.encode(Array(#"{"sub":"x","exp":"soon"}"#.utf8), as: .url)).c2ln", .malformed
            ),
        ] as [(String, TokenFailure)] {
            let state = try refresh()
            _ = state.request(forced: true)
            #expect(state.deliver(.success(text)) == .failure(failure), "\(text)")
            #expect(state.token == nil)
        }
    }

    @Test("without a provider there is the one token, or none")
    func noProvider() throws {
        let held = try HeldToken(token("t0", lasts: .seconds(10)))
        let state = Refresher(TokenRefresh(token: held, canRefresh: false), clock)
        #expect(state.request() == .token(held))
        #expect(state.nextDeadline == nil)
        guard case .failure(.refused) = state.request(forced: true) else {
            Issue.record("there is no other one")
            return
        }
        let none = Refresher(TokenRefresh(token: nil, canRefresh: false), clock)
        guard case .failure(.refused) = none.request() else {
            Issue.record("there is none")
            return
        }
    }
}
