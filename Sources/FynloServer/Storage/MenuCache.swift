// The menu in Redis. A value carries the menu version it is of; the version that counts is read from Postgres, so an old
// value is never taken for the menu, and invalidating is one counter moved on, however many keys there are.

import FynloCore
import FynloIO

/// Where a document came from: the X-Cache field.
enum CacheState: String {
    case hit = "HIT"
    case miss = "MISS"
    case stale = "STALE"
    case bypass = "BYPASS"
}

/// Documents by key, in Redis if there is one.
final class MenuCache {
    /// What a fill answers.
    typealias Reply = (Result<(MenuDocument, CacheState), PostgresError>) -> Void
    /// Reads a document from Postgres.
    typealias Fill = (@escaping (Result<MenuDocument, PostgresError>) -> Void) -> Void

    /// One key at one version: what simultaneous readers share.
    private struct Flight: Hashable {
        let key: String
        let version: Int64
    }

    private let redis: RedisConnection?
    private var flights: [Flight: [Reply]] = [:]

    /// Redis gets this long; then Postgres is asked.
    private let budget: Duration

    /// More products than any restaurant has: pages are counted from it, which must not overflow.
    private static let maximumTotal: Int64 = 1_000_000_000_000

    init(redis: RedisConnection?, budget: Duration) {
        self.redis = redis
        self.budget = budget
    }

    /// The key and lifetime, in seconds, of a page of products.
    static func key(_ request: MenuPageRequest) -> (key: String, seconds: Int) {
        let category = request.category?.description ?? "all"
        let inactive = request.includesInactive ? "True" : "False"
        return ("menu:v3:\(request.restaurant):\(category):\(request.page):\(request.limit):\(inactive)", 300)
    }

    /// The key and lifetime, in seconds, of the list of categories.
    static func categoriesKey(_ restaurant: RestaurantID) -> (key: String, seconds: Int) {
        ("menu_categories:v2:\(restaurant)", 600)
    }

    /// The document under `key` at `version` or newer: from Redis, or from `fill`, which simultaneous readers share.
    func document(
        _ key: (key: String, seconds: Int), version: Int64, fill: @escaping Fill, reply: @escaping Reply
    ) {
        let flight = Flight(key: key.key, version: version)
        if flights[flight] != nil {
            flights[flight]?.append(reply)
            return
        }
        flights[flight] = [reply]
        guard let redis, redis.isReady else { return read(flight, key.seconds, fill, .bypass) }
        redis.send(["GET", .text(key.key)], budget: budget) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success(.string(let bytes)):
                if let document = MenuCache.decode(bytes), document.version == version {
                    return self.finish(flight, .success((document, .hit)))
                }
                // An older version, or rubbish under our key.
                self.read(flight, key.seconds, fill, .miss)
            case .success(.null): self.read(flight, key.seconds, fill, .miss)
            // Rubbish of another type, which a new copy replaces.
            case .success(.error(let text)) where text.hasPrefix("WRONGTYPE"):
                self.read(flight, key.seconds, fill, .miss)
            case .success, .failure: self.read(flight, key.seconds, fill, .bypass)
            }
        }
    }

    private func read(_ flight: Flight, _ seconds: Int, _ fill: Fill, _ state: CacheState) {
        fill { [weak self] result in
            guard let self else { return }
            if case .success(let document) = result, let redis = self.redis, redis.isReady, state == .miss {
                redis.send(
                    ["SET", .text(flight.key), .bytes(MenuCache.encode(document)), "EX", .integer(Int64(seconds))],
                    budget: budget
                ) { _ in }  // a lost copy is a miss for the next reader
            }
            self.finish(flight, result.map { ($0, state) })
        }
    }

    private func finish(_ flight: Flight, _ result: Result<(MenuDocument, CacheState), PostgresError>) {
        for reply in flights.removeValue(forKey: flight) ?? [] { reply(result) }
    }

    // A value: "version total\n", and the body.

    private static func encode(_ document: MenuDocument) -> [UInt8] {
        Array("\(document.version) \(document.total)\n".utf8) + document.body
    }

    private static func decode(_ bytes: [UInt8]) -> MenuDocument? {
        guard let end = bytes.prefix(64).firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let parts = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ")
        guard parts.count == 2, let version = Int64(parts[0]), let total = Int64(parts[1]),
            (0...MenuCache.maximumTotal).contains(total)
        else { return nil }
        let body = Array(bytes[(end + 1)...])
        // Rubbish that begins like a value of ours is not passed on as a menu.
        guard (try? JSON.scan(body.span))?.kind == .array else { return nil }
        return MenuDocument(version: version, total: total, body: body)
    }
}
