import FynloCore
import Testing

@testable import FynloServer

@Suite("Migrations")
struct MigrationTests {
    private static func tables(_ database: TestDatabase) throws -> [String] {
        try database.run(
            "select table_name from information_schema.tables where table_schema = current_schema() order by 1"
        ).rows.compactMap { $0.string(0) }
    }

    @Test("make the contract's tables and indexes, once, and take them back without a trace")
    func upAndDown() throws {
        let database = try TestDatabase(isMigrated: false)
        let runner = MigrationRunner(session: database.session)
        #expect(try runner.status().allSatisfy { $0.appliedAt == nil })
        var applied: [Int] = []
        try runner.up { applied.append($0.version) }
        #expect(applied == Migration.all.map(\.version))
        try runner.up { _ in Issue.record("nothing is applied twice") }
        #expect(try runner.status().allSatisfy { $0.appliedAt != nil })
        let tables = try Self.tables(database)
        for name in [
            "restaurants", "users", "user_restaurants", "categories", "products", "product_modifiers",
            "product_variants", "orders", "order_items", "restaurant_streams", "processed_commands",
            "restaurant_events",
        ] { #expect(tables.contains(name)) }
        let indexes = try database.run("select indexname from pg_indexes where schemaname = current_schema()").rows
            .compactMap { $0.string(0) }
        for name in [
            "idx_products_restaurant_active", "idx_products_category_active", "idx_orders_restaurant_status_created",
            "idx_orders_restaurant_date", "idx_order_items_order_id", "idx_users_supabase_id",
            "idx_users_restaurant_role",
        ] { #expect(indexes.contains(name)) }
        for _ in Migration.all { try runner.down { _ in } }
        #expect(try Self.tables(database) == ["fynlo_migrations"])
        #expect(throws: MigrationError.nothingToUndo) { try runner.down { _ in } }
        try runner.up { _ in }
    }

    @Test("refuse a database that holds tables of our names without our ledger, and leave it as it is")
    func foreign() throws {
        let database = try TestDatabase(isMigrated: false)
        try database.run("create table orders (id integer)")
        let runner = MigrationRunner(session: database.session)
        #expect(throws: MigrationError.foreignDatabase(table: "orders")) { try runner.up { _ in } }
        #expect(try Self.tables(database) == ["orders"])
        #expect(MigrationError.foreignDatabase(table: "orders").description.contains("orders"))
    }

    @Test("notice an edited migration and a newer database")
    func ledger() throws {
        let database = try TestDatabase()
        let runner = MigrationRunner(session: database.session)
        try database.run("update fynlo_migrations set checksum = 'another' where version = 1")
        #expect(throws: MigrationError.edited(version: 1)) { try runner.up { _ in } }
        #expect(throws: MigrationError.edited(version: 1)) { try runner.status() }
        try database.run("delete from fynlo_migrations")
        try database.run("insert into fynlo_migrations (version, name, checksum) values (9999, 'later', 'x')")
        #expect(throws: MigrationError.unknown(version: 9999)) { try runner.up { _ in } }
    }

    @Test("leave no half of a migration that fails")
    func failure() throws {
        let database = try TestDatabase(isMigrated: false)
        let broken = Migration(
            version: 1, name: "broken", up: "create table half (id integer); select 1/0", down: "", checksum: "c")
        let runner = MigrationRunner(session: database.session, migrations: [broken])
        #expect(throws: MigrationError.self) { try runner.up { _ in } }
        #expect(try Self.tables(database) == ["fynlo_migrations"])
        #expect(try runner.status().allSatisfy { $0.appliedAt == nil })
    }

    @Test("load the demonstration twice with the same result, and every total adds up")
    func demonstration() throws {
        let database = try TestDatabase()
        try database.run(Migration.demoData)
        func counts() throws -> [Int64?] {
            try ["restaurants", "users", "products", "product_modifiers", "product_variants", "orders", "order_items"]
                .map { try database.run("select count(*) from \($0)").first?.integer(0) }
        }
        let first = try counts()
        try database.run(Migration.demoData)
        #expect(try counts() == first)
        let products = try database.run("select count(*) from products group by restaurant_id").rows
            .compactMap { $0.integer(0) }
        #expect(products.count == 2)
        #expect(products.allSatisfy { $0 >= 60 })
        let roles = try database.value("select count(distinct role) from users")
        #expect(roles == "4")
        let wrong = try database.value(
            """
            select count(*) from orders o where subtotal is distinct from
                (select sum(total_price) from order_items i where i.order_id = o.id)
                or total_amount <> subtotal + tax_amount + service_charge + tip_amount - discount_amount
            """)
        #expect(wrong == "0")
    }
}
