// Copies of menus, in this process and in Redis. A copy carries the version of its menu and is given only to readers who ask
// for that version. So an old copy is never mistaken for the menu, and a menu is invalidated by raising one counter, however
// many copies there are. AccessCache knows the version without asking Postgres each time.
//
//     asked ──► own copy ──► Redis, 50 ms at most ──► Postgres, few at a time ──► answered, and copied to both

import FynloCore
import FynloIO

/// Caches parts of menus.
final class MenuCache {
    /// Gives a reader the document, and says where it came from.
    typealias Reply = (Result<(MenuDocument, CacheState), PostgresError>) -> Void

    /// A look-up of one part at one version, which simultaneous readers share.
    private struct Flight: Hashable {
        let part: MenuPart
        let version: Int64
    }

    /// A flight that waits for its turn to read from Postgres.
    private struct Waiting {
        let flight: Flight
        let state: CacheState
        let deadline: Instant
    }

    private let loop: EventLoop
    private let redis: RedisConnection?
    private let menus: MenuRepository
    private let known: AccessLookup
    private let settings: Settings

    private var copies: MenuCopies
    private var flights: [Flight: [Reply]] = [:]
    private var readsUnderWay = 0
    private var waiting: [Waiting] = []
    /// Readers' answers, by where they came from.
    private(set) var answers = MenuReads()
    /// Readers' answers per restaurant.
    private var answersByRestaurant = RecentlyUsed<RestaurantID, MenuReads>(limit: 4_000)
    /// Readers' answers per restaurant since they were last taken.
    private var recentAnswers: [RestaurantID: MenuReads] = [:]
    /// Redis refused the last copy, for example because it is full.
    private var isRedisRefusing = false

    /// What does not change while the node runs.
    struct Settings {
        let limits: Limits
        /// How long Redis has to answer before Postgres is asked.
        let redisBudget: Duration
        /// How long a reader waits for its turn to read from Postgres.
        let patience: Duration
    }

    /// More products than any restaurant has. Pages are computed from the total, which must not overflow.
    private static let maximumTotal: Int64 = 1_000_000_000_000

    init(
        loop: EventLoop, redis: RedisConnection?, menus: MenuRepository, known: AccessLookup, settings: Settings
    ) {
        self.loop = loop
        self.redis = redis
        self.menus = menus
        self.known = known
        self.settings = settings
        copies = MenuCopies(limits: settings.limits)
    }

    // MARK: Reading

    /// Finds the part at `version` or newer; simultaneous readers share one look-up.
    func document(_ part: MenuPart, version: Int64, reply: @escaping Reply) {
        // A node without its Redis asks Postgres, as long as few reads are under way.
        let isPreferred = redis?.isReady ?? true || readsUnderWay >= settings.limits.menuReads
        if isPreferred, let copy = copies.copy(of: part, version: version) {
            count(.process, 1, part)
            return reply(.success((copy, .hit)))
        }
        let flight = Flight(part: part, version: version)
        if flights[flight] != nil {
            flights[flight]?.append(reply)
            return
        }
        flights[flight] = [reply]
        guard redis != nil else { return read(flight, .miss) }
        ask(flight) { [self] answer in
            switch answer {
            case .document(let document):
                copies.keep(document)
                finish(flight, .success((document, .hit)))
            case .nothing: read(flight, isRedisRefusing ? .bypass : .miss)
            case .failure: read(flight, .bypass)
            }
        }
    }

    /// Finds a copy of the part at `version` while Postgres is unavailable; `nil`: there is none.
    func copy(of part: MenuPart, version: Int64, reply: @escaping (MenuDocument?) -> Void) {
        if let copy = copies.copy(of: part, version: version) {
            count(.stale, 1, part)
            return reply(copy)
        }
        ask(Flight(part: part, version: version)) { [self] answer in
            guard case .document(let document) = answer else {
                count(.failed, 1, part)
                return reply(nil)
            }
            count(.stale, 1, part)
            copies.keep(document)
            reply(document)
        }
    }

    private func finish(_ flight: Flight, _ result: Result<(MenuDocument, CacheState), PostgresError>) {
        let replies = flights.removeValue(forKey: flight) ?? []
        count(MenuReads.Source(result), UInt64(replies.count), flight.part)
        for reply in replies { reply(result) }
    }

    private func count(_ source: MenuReads.Source, _ readers: UInt64, _ part: MenuPart) {
        answers[source] += readers
        recentAnswers[part.restaurant, default: MenuReads()][source] += readers
        let isKnown: Void? = answersByRestaurant.update(part.restaurant) { $0[source] += readers }
        guard isKnown == nil else { return }
        var first = MenuReads()
        first[source] = readers
        answersByRestaurant.insert(first, for: part.restaurant, cost: 1)
    }

    /// How many readers of one restaurant's menu, or of all, were answered from each source.
    func answers(of restaurant: RestaurantID?) -> MenuReads {
        guard let restaurant else { return answers }
        return answersByRestaurant[restaurant] ?? MenuReads()
    }

    /// Readers' answers per restaurant since the last call.
    func takeRecentAnswers() -> [RestaurantID: MenuReads] {
        defer { recentAnswers = [:] }
        return recentAnswers
    }

    // MARK: Postgres

    private func read(_ flight: Flight, _ state: CacheState) {
        if readsUnderWay < settings.limits.menuReads {
            start(flight, state)
        } else if waiting.count < settings.limits.waitingMenuReads {
            waiting.append(
                Waiting(flight: flight, state: state, deadline: loop.now.instant + settings.patience))
        } else {
            finish(flight, .failure(.overloaded))
        }
    }

    private func start(_ flight: Flight, _ state: CacheState) {
        readsUnderWay += 1
        menus.read(flight.part) { [self] result in
            readsUnderWay -= 1
            finish(flight, state, result)
            startWaiting()
        }
    }

    private func startWaiting() {
        while readsUnderWay < settings.limits.menuReads, !waiting.isEmpty {
            let next = waiting.removeFirst()
            if loop.now.instant < next.deadline {
                start(next.flight, next.state)
            } else {
                finish(next.flight, .failure(.overloaded))
            }
        }
    }

    private func finish(_ flight: Flight, _ state: CacheState, _ result: Result<MenuDocument, PostgresError>) {
        switch result {
        case .success(let document):
            known.menuUpdated(flight.part.restaurant, to: document.version)
            copies.keep(document)
            // A Redis that has just been slow gets no copy.
            if state == .miss || isRedisRefusing { store(document) }
            finish(flight, .success((document, state)))
        case .failure(let error):
            guard error.isAway, let copy = copies.copy(of: flight.part, version: flight.version) else {
                return finish(flight, .failure(error))
            }
            finish(flight, .success((copy, .stale)))
        }
    }

    // MARK: Redis

    private enum Answer {
        case document(MenuDocument)
        /// There is no copy, an older one, or something else under the key.
        case nothing
        /// Redis is unavailable, slow, or refuses.
        case failure
    }

    /// How long Redis keeps a copy, in seconds.
    private static func lifetimeSeconds(of part: MenuPart) -> Int64 {
        switch part {
        case .page: 300
        case .categories: 600
        }
    }

    private func ask(_ flight: Flight, reply: @escaping (Answer) -> Void) {
        guard let redis, redis.isReady else { return reply(.failure) }
        redis.send(["GET", .text(RedisKeys.menu(flight.part))], budget: settings.redisBudget) { result in
            switch result {
            case .success(.string(let bytes)):
                if let document = MenuCache.decode(bytes, as: flight.part, version: flight.version) {
                    reply(.document(document))
                } else {
                    reply(.nothing)
                }
            case .success(.null): reply(.nothing)
            // A value of another type, which a new copy replaces.
            case .success(.error(let text)) where text.hasPrefix("WRONGTYPE"): reply(.nothing)
            case .success, .failure: reply(.failure)
            }
        }
    }

    private func store(_ document: MenuDocument) {
        guard let redis, redis.isReady else { return }
        redis.send(
            [
                "SET", .text(RedisKeys.menu(document.part)), .bytes(MenuCache.encode(document)), "EX",
                .integer(MenuCache.lifetimeSeconds(of: document.part)),
            ], budget: settings.redisBudget
        ) { [self] result in
            // If the copy is lost, the next reader has a miss.
            if case .success(let answer) = result { isRedisRefusing = answer != .status("OK") }
        }
    }

    // A value is "version total\n", followed by the body.

    private static func encode(_ document: MenuDocument) -> [UInt8] {
        Array("\(document.version) \(document.total)\n".utf8) + document.body
    }

    private static func decode(_ bytes: [UInt8], as part: MenuPart, version: Int64) -> MenuDocument? {
        guard let end = bytes.prefix(64).firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let parts = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ")
        guard parts.count == 2, Int64(parts[0]) == version, let total = Int64(parts[1]),
            (0...MenuCache.maximumTotal).contains(total)
        else { return nil }
        let body = Array(bytes[(end + 1)...])
        // Something else that only begins like a value must not be passed on as a menu.
        guard (try? JSON.scan(body.span))?.kind == .array else { return nil }
        return MenuDocument(part, version: version, total: total, body: body, digest: Digest.sha1(of: body))
    }
}

extension MenuReads.Source {
    /// The source of the result of a look-up.
    fileprivate init(_ result: Result<(MenuDocument, CacheState), PostgresError>) {
        self =
            switch result {
            case .success((_, .hit)): .redis
            case .success((_, .miss)): .miss
            case .success((_, .stale)): .stale
            case .success((_, .bypass)): .bypass
            case .failure: .failed
            }
    }
}
