import FynloCore
import FynloIO
import Testing

@testable import FynloServer

/// A restaurant with a menu, and a token to read it with.
final class TestMenu {
    let server: TestServer
    let restaurant: RestaurantID
    let token: String

    /// An employee reads it.
    init(on server: TestServer) throws {
        self.server = server
        restaurant = try server.database.addRestaurant()
        token = try server.database.addUser(.employee, at: restaurant).token()
        awaitRedis()
    }

    /// The same menu on another server.
    init(_ menu: TestMenu, on server: TestServer) {
        self.server = server
        restaurant = menu.restaurant
        token = menu.token
        awaitRedis()
    }

    /// Redis is connected, if there is one: the first reader would do without it otherwise.
    private func awaitRedis() {
        _ = try? server.loop.run(until: { server.server.isRedisReady }, for: Duration.milliseconds(300).patient)
    }

    // MARK: Rows

    /// Inserts into a table and returns the new row's id; values are SQL.
    private func insert(_ table: String, _ values: KeyValuePairs<String, String>) throws -> UUID128 {
        let names = values.map(\.key).joined(separator: ", ")
        let list = values.map(\.value).joined(separator: ", ")
        let row = try server.database.run("insert into \(table) (\(names)) values (\(list)) returning id").first
        return try #require(row?.uuid(0))
    }

    func addCategory(_ name: String, order: Int = 0, isActive: Bool = true) throws -> CategoryID {
        CategoryID(
            try insert(
                "categories",
                [
                    "restaurant_id": "'\(restaurant)'", "name": "'\(name)'", "sort_order": "\(order)",
                    "is_active": "\(isActive)",
                ]))
    }

    @discardableResult
    func addProduct(
        _ name: String, price: String = "1.00", in category: CategoryID? = nil, order: Int = 0, isActive: Bool = true
    ) throws -> UUID128 {
        try insert(
            "products",
            [
                "restaurant_id": "'\(restaurant)'", "name": "'\(name)'", "price": price,
                "category_id": category.map { "'\($0)'" } ?? "null", "sort_order": "\(order)",
                "is_active": "\(isActive)",
            ])
    }

    // MARK: Reading

    /// `GET /api/v1/menu`, with further parameters.
    func page(
        _ parameters: String = "", headers: HTTPHeaders = [:], method: HTTPMethod = .get,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> HTTPResponse {
        try server.request(
            method, "/api/v1/menu?restaurant_id=\(restaurant)\(parameters)", token: token, headers: headers,
            sourceLocation: sourceLocation)
    }

    func categories() throws -> HTTPResponse {
        try server.request(.get, "/api/v1/menu/categories?restaurant_id=\(restaurant)", token: token)
    }

    func invalidate() throws -> HTTPResponse {
        try server.request(.post, "/api/v1/menu/cache/invalidate?restaurant_id=\(restaurant)", token: token)
    }

    /// The names on a page.
    func names(_ parameters: String = "") throws -> [String] {
        try Document(page(parameters).body).elements.compactMap { $0["name"].string }
    }

    // MARK: Statements

    /// Counts the statements that read a page from now on, and lets the first of them wait for a lock, when it has begun
    /// and seen the menu as it was. Works for menus of one product, whose two times a statement asks for once each.
    func observeReads() throws -> RowLock {
        let key = TestDatabase.randomUUID().high & 0x7fff_ffff
        try server.database.run(
            """
            create sequence if not exists reads;
            create or replace function fynlo_timestamp(p_instant timestamptz) returns text
            language plpgsql volatile as $$
            begin
                if nextval('reads') = 1 then perform pg_advisory_xact_lock(\(key)); end if;
                return to_char(p_instant at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
            end
            $$
            """)
        return try RowLock("select pg_advisory_xact_lock(\(key))", in: server.database)
    }

    /// The statements since `observeReads`.
    var readCount: Int {
        get throws {
            let calls = try #require(try server.database.value("select last_value from reads").flatMap { Int($0) })
            return (calls + 1) / 2
        }
    }
}
