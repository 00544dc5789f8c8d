// The menu in Postgres: one statement per page, whatever the number of products; the JSON is made there and passed on as
// it is.

import FynloCore
import FynloIO

/// Reads menus.
struct MenuRepository {
    let pool: PostgresPool

    /// A statement for each set of filters: a plan for all of them would use no index for any. A category's products are
    /// found by the category alone: as a truth value, the restaurant is a filter that no index is looked for.
    private static let pages: [PostgresStatement] = [
        page("menu_page", "p.restaurant_id = $1 and p.is_active"),
        page("menu_page_category", "p.category_id = $4 and p.is_active and (p.restaurant_id = $1) is true"),
        page("menu_page_all", "p.restaurant_id = $1"),
        page("menu_page_category_all", "p.category_id = $4 and (p.restaurant_id = $1) is true"),
    ]

    /// All of them take the same parameters. `filter` is about the products `p`.
    private static func page(_ name: String, _ filter: String) -> PostgresStatement {
        PostgresStatement(
            name: name,
            sql: """
                select s.menu_version,
                    (select count(*) from products p where \(filter)),
                    coalesce((
                        select json_agg(json_build_object(
                            'id', p.id, 'name', p.name, 'description', p.description, 'price', p.price,
                            'category_id', p.category_id, 'category_name', c.name, 'is_active', p.is_active,
                            'sort_order', p.sort_order, 'image_url', p.image_url,
                            'modifiers', coalesce((
                                select json_agg(json_build_object('id', m.id, 'name', m.name, 'price', m.price,
                                    'required', m.required, 'options', m.options) order by m.sort_order, m.name, m.id)
                                from product_modifiers m where m.product_id = p.id), '[]'::json),
                            'variants', coalesce((
                                select json_agg(json_build_object('id', v.id, 'name', v.name, 'price', v.price,
                                    'sku', v.sku) order by v.sort_order, v.name, v.id)
                                from product_variants v where v.product_id = p.id), '[]'::json),
                            'allergens', p.allergens, 'nutritional_info', p.nutritional_info,
                            'preparation_time', p.preparation_time,
                            'created_at', fynlo_timestamp(p.created_at), 'updated_at', fynlo_timestamp(p.updated_at))
                            order by p.sort_order, p.name, p.id)
                        from (
                            select * from products p where \(filter)
                            order by p.sort_order, p.name, p.id limit $2 offset $3) p
                        left join categories c on c.id = p.category_id), '[]'::json),
                    $4::uuid
                from restaurant_streams s where s.restaurant_id = $1
                """)
    }

    /// The statement of a page.
    static func statement(_ request: MenuPageRequest) -> PostgresStatement {
        pages[(request.category == nil ? 0 : 1) + (request.includesInactive ? 2 : 0)]
    }

    /// The parameters of that statement.
    static func parameters(_ request: MenuPageRequest) -> [PostgresValue] {
        [
            .uuid(request.restaurant.uuid), .integer(Int64(request.limit)),
            .integer(Int64(request.page - 1) * Int64(request.limit)), .optional(request.category?.uuid),
        ]
    }

    private static let categories = PostgresStatement(
        name: "menu_categories",
        sql: """
            select s.menu_version,
                (select count(*) from categories c where c.restaurant_id = s.restaurant_id and c.is_active),
                coalesce((
                    select json_agg(json_build_object('id', c.id, 'name', c.name, 'description', c.description,
                        'sort_order', c.sort_order, 'icon', c.icon, 'product_count', (
                            select count(*) from products p where p.category_id = c.id and p.is_active))
                        order by c.sort_order, c.name, c.id)
                    from categories c where c.restaurant_id = s.restaurant_id and c.is_active), '[]'::json)
            from restaurant_streams s where s.restaurant_id = $1
            """)

    private static let invalidate = PostgresStatement(
        name: "menu_invalidate",
        sql: "select fynlo_renew_menu($1)")

    /// A part of a menu, with the version it is of.
    func read(_ part: MenuPart, reply: @escaping (Result<MenuDocument, PostgresError>) -> Void) {
        switch part {
        case .page(let page):
            pool.send(MenuRepository.statement(page), MenuRepository.parameters(page), .exclusive) {
                reply($0.flatMap { MenuRepository.document($0, part) })
            }
        case .categories(let restaurant):
            pool.send(MenuRepository.categories, [.uuid(restaurant.uuid)], .exclusive) {
                reply($0.flatMap { MenuRepository.document($0, part) })
            }
        }
    }

    /// Makes every cached copy of the restaurant's menu an old one, whatever their number, and tells the tablets; replies
    /// with the new version.
    func invalidate(
        _ restaurant: RestaurantID, reply: @escaping (Result<Int64, PostgresError>) -> Void
    ) {
        pool.send(MenuRepository.invalidate, [.uuid(restaurant.uuid)], .exclusive) { result in
            reply(
                result.flatMap { rows in
                    guard let version = rows.first?.integer(0) else {
                        return .failure(.unexpectedAnswer("restaurant_streams"))
                    }
                    return .success(version)
                })
        }
    }

    private static func document(
        _ result: PostgresResult, _ part: MenuPart
    ) -> Result<MenuDocument, PostgresError> {
        guard let row = result.first, let version = row.integer(0), let total = row.integer(1),
            let body = row.bytes(2)
        else { return .failure(.unexpectedAnswer("a menu")) }
        return .success(
            MenuDocument(
                part, version: version, total: total, body: body, digest: Digest.sha1(of: body)))
    }
}
