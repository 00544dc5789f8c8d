import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The menu")
struct MenuTests {
    // MARK: Content

    @Test("has every field of a product, with its type")
    func fields() throws {
        let menu = try TestMenu(on: try TestServer())
        let category = try menu.addCategory("Tapas & \"más\"")
        let product = try menu.addProduct("Croquetas", price: "7.50", in: category, order: 3)
        try menu.server.database.run(
            """
            update products set description = 'Jamón <ibérico>', image_url = 'https://img.example/1.jpg',
                allergens = '["gluten", "milk"]', nutritional_info = '{"kcal": 310.5, "fat": {"total": 21}}',
                preparation_time = 12, created_at = '2026-01-31 18:04:05.123999Z' where id = '\(product)';
            insert into product_modifiers (product_id, name, price, required, options)
                values ('\(product)', 'Sauce', 0.60, true, '[{"name": "aioli", "price": 0.1}, "none"]');
            insert into product_variants (product_id, name, price, sku) values ('\(product)', 'Half', 4.25, 'CR-2')
            """)
        let answer = try menu.page()
        #expect(answer.status == 200)
        #expect(answer.headers.first("content-type") == "application/json")
        let rows = try Document(answer.body)
        #expect(rows.elements.count == 1)
        let row = rows[0]
        let ids = try #require(
            try menu.server.database.run(
                "select m.id, v.id from product_modifiers m, product_variants v"
            ).first)
        let expected = """
            {"id": "\(product)", "name": "Croquetas", "description": "Jamón <ibérico>", "price": 7.50,
            "category_id": "\(category)", "category_name": "Tapas & \\"más\\"", "is_active": true, "sort_order": 3,
            "image_url": "https://img.example/1.jpg",
            "modifiers": [{"id": "\(ids.string(0) ?? "")", "name": "Sauce", "price": 0.60, "required": true,
                "options": [{"name": "aioli", "price": 0.1}, "none"]}],
            "variants": [{"id": "\(ids.string(1) ?? "")", "name": "Half", "price": 4.25, "sku": "CR-2"}],
            "allergens": ["gluten", "milk"], "nutritional_info": {"kcal": 310.5, "fat": {"total": 21}},
            "preparation_time": 12, "created_at": "2026-01-31T18:04:05.123Z",
            "updated_at": "\(row["updated_at"].string ?? "")"}
            """
        #expect(row == (try Document(json: expected)))
        #expect(row["updated_at"].string?.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
    }

    @Test("has empty lists and nulls where a product has nothing")
    func defaults() throws {
        let menu = try TestMenu(on: try TestServer())
        try menu.server.database.run(
            "insert into products (restaurant_id, name) values ('\(menu.restaurant)', 'Water')")
        let row = try Document(menu.page().body)[0]
        #expect(row.members.count == 16)
        for name in ["description", "category_id", "category_name", "image_url"] {
            #expect(row.members[name] == .null, "\(name)")
        }
        for name in ["modifiers", "variants", "allergens"] { #expect(row.members[name] == .array([]), "\(name)") }
        #expect(row["nutritional_info"] == .object([:]))
        #expect(row["preparation_time"].integer == 0)
        #expect(row["is_active"].boolean == true)
    }

    @Test("gives prices to the cent, as they are written")
    func prices() throws {
        let menu = try TestMenu(on: try TestServer())
        let prices = ["0.00", "0.01", "0.10", "0.29", "9.99", "10.00", "1234567.89", "99999999.99"]
        for (place, price) in prices.enumerated() { try menu.addProduct("p", price: price, order: place) }
        let text = String(decoding: try menu.page().body, as: UTF8.self)
        #expect(text.matches(of: /"price" ?: ?([^,}]*)/).map { String($0.1) } == prices)
    }

    @Test("is ordered by sort_order, name and id, and so are modifiers and variants")
    func order() throws {
        let menu = try TestMenu(on: try TestServer())
        for (name, place) in [("Z", 1), ("B", 2), ("A", 2), ("é", 2), ("a", 2), ("Y", -1)] {
            try menu.addProduct(name, order: place)
        }
        let ids = [UUID128(high: 9, low: 2), UUID128(high: 9, low: 1)]
        let product = try menu.addProduct("last", order: 9)
        for id in ids {
            try menu.server.database.run(
                """
                insert into products (id, restaurant_id, name, sort_order) values ('\(id)', '\(menu.restaurant)', 'same', 5);
                insert into product_modifiers (id, product_id, name, sort_order) values ('\(id)', '\(product)', 'b', 1);
                insert into product_variants (id, product_id, name, sort_order) values ('\(id)', '\(product)', 'b', 1)
                """)
        }
        try menu.server.database.run(
            """
            insert into product_modifiers (product_id, name, sort_order) values
                ('\(product)', 'a', 1), ('\(product)', 'z', 0);
            insert into product_variants (product_id, name, sort_order) values
                ('\(product)', 'a', 1), ('\(product)', 'z', 0)
            """)
        let rows = try Document(menu.page().body).elements
        let named = try menu.server.database.run(
            "select name from products where sort_order < 3 order by sort_order, name")
        #expect(rows.prefix(6).map { $0["name"].string } == named.rows.map { $0.string(0) })
        #expect(rows[6...7].map { $0["id"].string } == [ids[1].description, ids[0].description])
        for list in ["modifiers", "variants"] {
            #expect(rows[8][list].elements.map { $0["name"].string } == ["z", "a", "b", "b"], "\(list)")
            #expect(
                rows[8][list].elements.suffix(2).map { $0["id"].string } == [ids[1].description, ids[0].description])
        }
    }

    @Test("shows one category if asked, active or not, and nothing of another restaurant")
    func categoryFilter() throws {
        let menu = try TestMenu(on: try TestServer())
        let other = try TestMenu(on: menu.server)
        let tapas = try menu.addCategory("Tapas")
        let winter = try menu.addCategory("Winter", isActive: false)
        let empty = try menu.addCategory("Empty")
        let foreign = try other.addCategory("Foreign")
        try menu.addProduct("croquetas", in: tapas)
        try menu.addProduct("soup", in: winter)
        try menu.addProduct("water")
        try other.addProduct("foreign", in: foreign)
        #expect(try menu.names() == ["croquetas", "soup", "water"])
        #expect(try menu.names("&category=\(tapas)") == ["croquetas"])
        #expect(try menu.names("&category=\(tapas.description.uppercased())") == ["croquetas"])
        #expect(try menu.names("&category=\(winter)") == ["soup"])
        #expect(try menu.names("&category=\(empty)") == [])
        #expect(try menu.names("&category=\(foreign)") == [])
        #expect(try menu.page("&category=\(winter)").headers.first("x-total-count") == "1")
        #expect(try Document(menu.page("&category=\(winter)").body)[0]["category_name"].string == "Winter")
    }

    @Test("shows inactive products if asked")
    func includeInactive() throws {
        let menu = try TestMenu(on: try TestServer())
        try menu.addProduct("on")
        try menu.addProduct("off", order: 1, isActive: false)
        let rows = ["": false, "false": false, "0": false, "False": false, "true": true, "1": true, "TRUE": true]
        for (value, isIncluded) in rows {
            let answer = try menu.page(value.isEmpty ? "" : "&include_inactive=\(value)")
            let rows = try Document(answer.body).elements
            #expect(rows.map { $0["name"].string } == (isIncluded ? ["on", "off"] : ["on"]), "\(value)")
            #expect(rows.map { $0["is_active"].boolean } == (isIncluded ? [true, false] : [true]), "\(value)")
            #expect(answer.headers.first("x-total-count") == String(rows.count), "\(value)")
        }
    }

    // MARK: Pages

    static let pages: [(page: Int, limit: Int, names: [String], links: [String: Int])] = [
        (1, 3, ["p0", "p1", "p2"], ["first": 1, "next": 2, "last": 3]),
        (2, 3, ["p3", "p4", "p5"], ["first": 1, "prev": 1, "next": 3, "last": 3]),
        (3, 3, ["p6"], ["first": 1, "prev": 2, "last": 3]),
        (4, 3, [], ["first": 1, "prev": 3, "last": 3]),
        (9, 3, [], ["first": 1, "prev": 3, "last": 3]),
        (1, 7, ["p0", "p1", "p2", "p3", "p4", "p5", "p6"], ["first": 1, "last": 1]),
        (1_000_000, 100, [], ["first": 1, "prev": 1, "last": 1]),
    ]

    @Test("comes in pages that name their neighbours", arguments: ["", "&include_inactive=true", "&category=CATEGORY"])
    func pages(filter: String) throws {
        let menu = try TestMenu(on: try TestServer())
        let category = try menu.addCategory("all")
        for number in 0..<7 { try menu.addProduct("p\(number)", in: category) }
        let filter = filter.replacing("CATEGORY", with: category.description)
        for row in MenuTests.pages {
            let parameters = "&page=\(row.page)&limit=\(row.limit)\(filter)"
            let answer = try menu.page(parameters)
            #expect(answer.status == 200, "\(parameters)")
            #expect(try Document(answer.body).elements.compactMap { $0["name"].string } == row.names, "\(parameters)")
            #expect(answer.headers.first("x-total-count") == "7", "\(parameters)")
            let links = try parse(try #require(answer.headers.first("link"), "\(parameters)"))
            #expect(links.mapValues(\.page) == row.links, "\(parameters)")
            #expect(links.values.allSatisfy { $0.limit == row.limit }, "\(parameters)")
            // Following a link shows the page it names, with the same filter.
            for target in links.values {
                let followed = try menu.server.request(.get, target.target, token: menu.token)
                #expect(followed.status == 200, "\(target.target)")
                #expect(followed.body == (try menu.page("&page=\(target.page)&limit=\(row.limit)\(filter)").body))
            }
        }
    }

    /// RFC 8288: targets by relation.
    private func parse(_ link: String) throws -> [String: (target: String, page: Int, limit: Int)] {
        var result: [String: (target: String, page: Int, limit: Int)] = [:]
        for part in link.split(separator: ", ") {
            let match = try #require(part.wholeMatch(of: /<(\/[^>]*)>; rel="([a-z]+)"/))
            let page = try #require(match.1.firstMatch(of: /[?&]page=(\d+)/).flatMap { Int($0.1) })
            let limit = try #require(match.1.firstMatch(of: /[?&]limit=(\d+)/).flatMap { Int($0.1) })
            result[String(match.2)] = (String(match.1), page, limit)
        }
        return result
    }

    @Test("comes in pages of 50, and of at most 100")
    func pageSize() throws {
        let menu = try TestMenu(on: try TestServer())
        try menu.server.database.run(
            """
            insert into products (restaurant_id, name)
            select '\(menu.restaurant)', 'p' || n from generate_series(1, 101) as n
            """)
        #expect(try menu.names().count == 50)
        #expect(try menu.names("&limit=100").count == 100)
        #expect(try menu.names("&limit=100&page=2").count == 1)
        #expect(try menu.names("&limit=1").count == 1)
    }

    // MARK: Categories

    @Test("lists active categories in order, with the number of their active products")
    func categories() throws {
        let menu = try TestMenu(on: try TestServer())
        let other = try TestMenu(on: menu.server)
        let last = try menu.addCategory("Last", order: 2)
        let second = try menu.addCategory("B", order: 1)
        let first = try menu.addCategory("A", order: 1)
        let hidden = try menu.addCategory("Hidden", isActive: false)
        _ = try other.addCategory("Foreign")
        for (name, isActive) in [("one", true), ("two", true), ("off", false)] {
            try menu.addProduct(name, in: second, isActive: isActive)
        }
        try menu.addProduct("three", in: hidden)
        try menu.server.database.run(
            "update categories set icon = '🌮', description = 'For two' where id = '\(first)'")
        let answer = try menu.categories()
        #expect(answer.status == 200)
        #expect(answer.headers.first("content-type") == "application/json")
        let expected = """
            [{"id": "\(first)", "name": "A", "description": "For two", "sort_order": 1, "icon": "🌮", "product_count": 0},
            {"id": "\(second)", "name": "B", "description": null, "sort_order": 1, "icon": null, "product_count": 2},
            {"id": "\(last)", "name": "Last", "description": null, "sort_order": 2, "icon": null, "product_count": 0}]
            """
        #expect(try Document(answer.body) == (try Document(json: expected)))
        #expect(answer.headers.first("x-cache") == "MISS")
        let again = try menu.categories()
        #expect(again.headers.first("x-cache") == "HIT")
        #expect(again.body == answer.body)
        #expect(try menu.invalidate().status == 200)
        #expect(try menu.categories().headers.first("x-cache") == "MISS")
    }

    @Test("lists no categories as an empty array, cached like any other")
    func noCategories() throws {
        let menu = try TestMenu(on: try TestServer())
        #expect(try menu.categories().body == Array("[]".utf8))
        #expect(try menu.categories().headers.first("x-cache") == "HIT")
    }

    // MARK: HTTP

    @Test("answers 304 to who has it already")
    func conditional() throws {
        let menu = try TestMenu(on: try TestServer())
        try menu.addProduct("water")
        let answer = try menu.page()
        let tag = try #require(answer.headers.first("etag"))
        #expect(tag.wholeMatch(of: /"[^"]+"/) != nil)
        #expect(answer.headers.first("cache-control") == "private, no-cache")
        for value in [tag, "W/\(tag)", "\"other\", \(tag)", "*"] {
            let unchanged = try menu.page(headers: ["If-None-Match": value])
            #expect(unchanged.status == 304, "\(value)")
            #expect(unchanged.body.isEmpty)
            for name in ["etag", "cache-control", "x-cache", "x-total-count", "link", "x-menu-version"] {
                #expect(unchanged.headers.first(name) != nil, "\(name)")
            }
            #expect(unchanged.headers.first("etag") == tag)
            #expect(try menu.page(headers: ["If-None-Match": value], method: .head).status == 304)
        }
        for value in ["\"other\"", tag.replacing("\"", with: ""), "\"\""] {
            #expect(try menu.page(headers: ["If-None-Match": value]).status == 200, "\(value)")
        }
        // The tag is of the content: an invalidated menu that has not changed has the same.
        #expect(try menu.invalidate().status == 200)
        #expect(try menu.page(headers: ["If-None-Match": tag]).status == 304)
        try menu.addProduct("wine")
        #expect(try menu.invalidate().status == 200)
        let changed = try menu.page(headers: ["If-None-Match": tag])
        #expect(changed.status == 200)
        #expect(changed.headers.first("etag") != tag)
        #expect(changed.headers.first("vary")?.lowercased().contains("authorization") == true)
    }

    @Test("answers HEAD with the fields of GET and no body", arguments: ["/api/v1/menu", "/api/v1/menu/categories"])
    func head(path: String) throws {
        let menu = try TestMenu(on: try TestServer())
        try menu.addProduct("water", in: try menu.addCategory("Drinks"))
        let target = "\(path)?restaurant_id=\(menu.restaurant)"
        _ = try menu.server.request(.get, target, token: menu.token)
        let get = try menu.server.request(.get, target, token: menu.token)
        let head = try menu.server.request(.head, target, token: menu.token)
        #expect(head.status == 200)
        #expect(head.body.isEmpty)
        #expect(head.headers.first("content-length") == String(get.body.count))
        for name in ["content-type", "etag", "cache-control", "x-cache", "x-total-count", "link", "x-menu-version"] {
            #expect(head.headers.first(name) == get.headers.first(name), "\(name)")
        }
    }

    @Test("moves its version on with each invalidation")
    func version() throws {
        let menu = try TestMenu(on: try TestServer())
        func version() throws -> Int { try #require(menu.page().headers.first("x-menu-version").flatMap { Int($0) }) }
        let first = try version()
        #expect(try version() == first)
        #expect(try menu.invalidate().status == 200)
        #expect(try version() > first)
        let ofCategories = try menu.categories().headers.first("x-menu-version")
        #expect(ofCategories == String(try version()))
    }
}
