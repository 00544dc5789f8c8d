// Provides tokens. It keeps a valid token at hand, refreshes it before it expires, and refreshes it only once however many callers
// ask.

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
        /// `token:cleared`: there is no token left.
        case cleared

        /// The name to listen for.
        public var name: EventName {
            switch self {
            case .refreshed: .tokenRefreshed
            case .refreshFailed: .tokenRefreshFailed
            case .cleared: .tokenCleared
            }
        }
    }

    /// Asks the identity provider for a new token. It must call `reply` once, on the loop's thread. An answer after the source's
    /// `refreshTimeout` is ignored.
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
    /// Counts the refreshes, so that a late answer is recognised.
    private var generation = 0
    private var refreshDeadline: Instant?
    private var timer: SourceToken?

    /// - Parameters:
    ///   - token: the first token; `nil` for the stored one.
    ///   - refreshTimeout: how long the identity provider may take.
    ///   - refresh: how to get a new token; `nil` if there is no way, so that the first token is the only one.
    ///
    /// Throws if the token is not a JWT, or if the storage cannot be read.
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

    /// The current token, which may have expired.
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

    /// Gets a token that is valid for at least a minute, from the provider if necessary. `isForced` says that the current one
    /// was refused. `reply` is called once, after this call has returned.
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

    /// Sets a token that was obtained in another way, such as signing in.
    public func set(_ compact: String) throws {
        let token = try HeldToken(compact)
        try storage.save(compact)
        state = TokenRefresh(token: token, canRefresh: refresh != nil)
        deliver(.success(token))
    }

    /// Removes the token, as for signing out.
    public func clear() throws {
        try storage.clear()
        state = TokenRefresh(token: nil, canRefresh: refresh != nil)
        deliver(.failure(.refused("The token was cleared.")), isTold: false)
        tell(.cleared)
    }

    /// Stops the timer. Waiting callers get a failure at the end of the turn. Do not use the source after this.
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
                // The token is valid even if it could not be stored.
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
            // If the provider is unreachable, a token that is still valid and was not refused is used on.
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

/// A token source as a source of the loop.
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
