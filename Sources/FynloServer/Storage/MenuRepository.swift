// The menu in Postgres: one statement per page, whatever the number of products; the JSON is made there and passed on as
// it is.

import FynloCore

/// Which page of a menu.
struct MenuPageRequest: Hashable {
    let restaurant: RestaurantID
    let category: CategoryID?
    let page: Int
    let limit: Int
    let includesInactive: Bool
}

/// A page, or the list of categories, as it goes out.
struct MenuDocument: Equatable {
    /// The menu version it belongs to.
    let version: Int64
    /// Products that match, on all pages.
    let total: Int64
    /// A JSON array.
    let body: [UInt8]
}

/// Reads menus.
struct MenuRepository {
    let pool: PostgresPool

    private static let page = PostgresStatement(
        name: "menu_page",
        sql: """
            select s.menu_version,
                (select count(*) from products p
                    where p.restaurant_id = s.restaurant_id and ($2::uuid is null or p.category_id = $2)
                        and (p.is_active or $3)),
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
                        select * from products p
                        where p.restaurant_id = s.restaurant_id and ($2::uuid is null or p.category_id = $2)
                            and (p.is_active or $3)
                        order by p.sort_order, p.name, p.id limit $4 offset $5) p
                    left join categories c on c.id = p.category_id), '[]'::json)
            from restaurant_streams s where s.restaurant_id = $1
            """)

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

    /// One page of products, with the version it is of.
    func page(
        _ request: MenuPageRequest, reply: @escaping (Result<MenuDocument, PostgresError>) -> Void
    ) {
        let parameters: [PostgresValue] = [
            .uuid(request.restaurant.uuid), .optional(request.category?.uuid), .boolean(request.includesInactive),
            .integer(Int64(request.limit)), .integer(Int64(request.page - 1) * Int64(request.limit)),
        ]
        pool.send(MenuRepository.page, parameters, .exclusive) { reply($0.flatMap(MenuRepository.document)) }
    }

    /// The active categories.
    func categories(
        of restaurant: RestaurantID, reply: @escaping (Result<MenuDocument, PostgresError>) -> Void
    ) {
        pool.send(MenuRepository.categories, [.uuid(restaurant.uuid)], .exclusive) {
            reply($0.flatMap(MenuRepository.document))
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

    private static func document(_ result: PostgresResult) -> Result<MenuDocument, PostgresError> {
        guard let row = result.first, let version = row.integer(0), let total = row.integer(1),
            let body = row.bytes(2)
        else { return .failure(.unexpectedAnswer("a menu")) }
        return .success(MenuDocument(version: version, total: total, body: body))
    }
}
