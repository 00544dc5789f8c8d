// Where tokens come from: one that is good for a while is kept at hand, renewed before it expires, and renewed once however
// many ask for it.

public import FynloCore
public import FynloIO

/// The token of one user. It belongs to its loop's thread; the loop keeps it until `close`.
///
/// Listeners hear `token:refreshed`, `token:refresh:failed` and `token:cleared`.
public final class TokenSource {
    /// What listeners are told.
    public enum Event: Equatable, Sendable {
        /// `token:refreshed`
        case refreshed(HeldToken)
        /// `token:refresh:failed`
        case refreshFailed(TokenFailure)
        /// `token:cleared`: there is no token any more.
        case cleared

        /// By which it is listened to.
        public var name: EventName {
            switch self {
            case .refreshed: .tokenRefreshed
            case .refreshFailed: .tokenRefreshFailed
            case .cleared: .tokenCleared
            }
        }
    }

    /// Asks the identity provider for a new token; `reply` is called once, on the loop's thread. What it says after the
    /// source's `refreshTimeout` finds nobody.
    public typealias Refresh = (
        _ current: HeldToken?, _ reply: @escaping (Result<String, TokenFailure>) -> Void
    ) -> Void

    /// What a request gets.
    public typealias Reply = (Result<HeldToken, TokenFailure>) -> Void

    private let loop: EventLoop
    private let storage: any TokenStorage
    private let refresh: Refresh?
    private let refreshTimeout: Duration
    private var state: TokenRefresh
    private var listeners = Listeners<Event>()
    private var waiting: [(isForced: Bool, reply: Reply)] = []
    /// Counts the refreshes, so that a late answer is known.
    private var generation = 0
    private var refreshDeadline: Instant?
    private var timer: SourceToken?

    /// - Parameters:
    ///   - token: the first one; `nil`: what the storage has.
    ///   - refreshTimeout: how long the identity provider may take.
    ///   - refresh: `nil` where there is nobody to ask: then the first token is all there is.
    ///
    /// Throws when there is a token that is no JWT, or when the storage cannot be read.
    public init(
        loop: EventLoop, token: String? = nil, storage: any TokenStorage = MemoryTokenStorage(),
        refreshTimeout: Duration = .seconds(30), refresh: Refresh? = nil
    ) throws {
        self.loop = loop
        self.refreshTimeout = refreshTimeout
        self.storage = storage
        self.refresh = refresh
        let compact: String?
        if let token {
            try storage.save(token)
            compact = token
        } else {
            compact = try storage.load()
        }
        let held = try compact.map { text throws(TokenFailure) in try HeldToken(text) }
        state = TokenRefresh(token: held, canRefresh: refresh != nil)
        timer = loop.add(timer: TokenTimer(self))
        wake()
    }

    /// The token at hand; it may have expired.
    public var token: HeldToken? { state.token }

    // MARK: Listeners

    /// Calls `listener` for each event of this name.
    @discardableResult
    public func on(_ name: EventName, _ listener: @escaping (Event) -> Void) -> Subscription {
        listeners.add(name, isForOnce: false, listener)
    }

    /// Calls `listener` for the next event of this name.
    @discardableResult
    public func once(_ name: EventName, _ listener: @escaping (Event) -> Void) -> Subscription {
        listeners.add(name, isForOnce: true, listener)
    }

    public func off(_ subscription: Subscription) {
        listeners.remove(subscription)
    }

    private func tell(_ event: Event) {
        for number in listeners.numbers(of: event.name) { listeners.take(number, of: event.name)?(event) }
    }

    // MARK: Tokens

    /// Gets a token that is good for a minute at least, from the provider if need be. `isForced`: the one at hand was
    /// refused. `reply` is called once, after this call has returned.
    public func request(isForced: Bool = false, reply: @escaping Reply) {
        switch state.request(forced: isForced, now: SystemClock.now) {
        case .token(let token): loop.atEndOfTurn { reply(.success(token)) }
        case .failure(let failure): loop.atEndOfTurn { reply(.failure(failure)) }
        case .wait: waiting.append((isForced, reply))
        case .refresh:
            waiting.append((isForced, reply))
            ask()
        }
    }

    /// Takes a token that came another way, as from signing in.
    public func set(_ compact: String) throws {
        let token = try HeldToken(compact)
        try storage.save(compact)
        state = TokenRefresh(token: token, canRefresh: refresh != nil)
        deliver(.success(token))
    }

    /// Forgets the token, as for signing out.
    public func clear() throws {
        try storage.clear()
        state = TokenRefresh(token: nil, canRefresh: refresh != nil)
        deliver(.failure(.refused("The token was cleared.")), isTold: false)
        tell(.cleared)
    }

    /// Ends the timer; those who wait get a failure at the end of the turn. Nothing may be asked of it any more.
    public func close() {
        generation += 1
        if let timer { loop.remove(timer) }
        timer = nil
        refreshDeadline = nil
        let waiting = waiting
        self.waiting = []
        guard !waiting.isEmpty else { return }
        loop.atEndOfTurn {
            for one in waiting { one.reply(.failure(.unreachable("The token source was closed."))) }
        }
    }

    // MARK: Refreshing

    private func ask() {
        generation += 1
        let generation = generation
        refreshDeadline = SystemClock.instant + refreshTimeout
        wake()
        let refresh = refresh
        let current = state.token
        loop.atEndOfTurn { [weak self] in
            refresh?(current) { result in
                guard let self, generation == self.generation else { return }
                self.finish(result)
            }
        }
    }

    private func finish(_ result: Result<String, TokenFailure>) {
        let had = state.token
        var outcome = state.deliver(result, now: SystemClock.now)
        if case .success(let token) = outcome {
            do throws(StorageError) {
                try storage.save(token.compact)
            } catch {
                // It is as good without being kept.
                tell(.refreshFailed(.unreachable(error.description)))
            }
        } else if had != nil, state.token == nil {
            do throws(StorageError) {
                try storage.clear()
            } catch {
                outcome = .failure(.refused(error.description))
            }
        }
        deliver(outcome)
        if had != nil, state.token == nil { tell(.cleared) }
    }

    private func deliver(_ outcome: Result<HeldToken, TokenFailure>, isTold: Bool = true) {
        generation += 1
        refreshDeadline = nil
        wake()
        let waiting = waiting
        self.waiting = []
        for one in waiting {
            // A provider that is away costs nobody a token that is still good, unless it was refused.
            if case .failure(let failure) = outcome, failure.isRetryable, !one.isForced, let token = state.token {
                one.reply(.success(token))
            } else {
                one.reply(outcome)
            }
        }
        guard isTold else { return }
        switch outcome {
        case .success(let token): tell(.refreshed(token))
        case .failure(let failure): tell(.refreshFailed(failure))
        }
    }

    fileprivate func tick(now: Moment) -> Instant? {
        if let refreshDeadline, now.instant >= refreshDeadline {
            let limit = refreshTimeout.inMilliseconds
            finish(.failure(.unreachable("The identity provider did not answer within \(limit) ms.")))
        } else if state.tick(now: now) {
            ask()
        }
        return nextDeadline(now)
    }

    private func nextDeadline(_ now: Moment) -> Instant? {
        refreshDeadline ?? state.nextDeadline(now: now)
    }

    private func wake() {
        guard let timer, let deadline = nextDeadline(SystemClock.now) else { return }
        loop.wake(timer, by: deadline)
    }
}

/// What the loop keeps of a token source.
private final class TokenTimer: EventSource {
    private let source: TokenSource

    init(_ source: TokenSource) {
        self.source = source
    }

    func ready(_ readiness: Readiness, now: Moment) {}

    func tick(now: Moment) -> Instant? {
        source.tick(now: now)
    }
}
