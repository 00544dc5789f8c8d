// fynlo menu: prints a restaurant's menu.

import FynloCore

enum MenuCommand {
    static let help = """
        fynlo menu: shows a restaurant's menu.

        Usage:
          fynlo menu --restaurant UUID [options]

        On a terminal the products are a table under their categories. Elsewhere each line is one product (with
        --categories: one category) as the server sent it, in JSON; they are of one version of the menu.

        Options:
          --restaurant UUID       the restaurant
          --category UUID         only this category's products
          --limit N               no more than N products [all]
          --include-inactive      products that are not sold at the moment, too
          --categories            the categories alone
        \(ServerOptions.help)

        Environment:
        \(ServerOptions.environmentHelp)

        \(ExitCode.help)
        """

    static func run(_ words: [String]) throws(UsageError) -> Int32 {
        let arguments = try Arguments(
            words, flags: ServerOptions.flags + ["--restaurant", "--category", "--limit"],
            switches: ["--include-inactive", "--categories"])
        if let word = arguments.words.first { throw UsageError("menu takes no \(word); see fynlo menu --help.") }
        let restaurant = try arguments.restaurant()
        var query = "restaurant_id=\(restaurant)"
        if let category = arguments["--category"] {
            guard let id = UUID128(category) else { throw UsageError("--category takes a UUID, not \(category).") }
            query += "&category=\(id)"
        }
        if arguments.has("--include-inactive") { query += "&include_inactive=true" }
        let limit = try arguments.integer("--limit", in: 1...1_000_000)
        let client = try RESTClient(try ServerOptions(arguments))
        do throws(CommandFailure) {
            if arguments.has("--categories") {
                show(categories: try categories(client, restaurant))
            } else {
                let products = try products(client, query: query, limit: limit ?? .max)
                if Console.isTerminal {
                    show(products, categories: try categories(client, restaurant))
                } else {
                    for product in products where !Console.write(Console.jsonLine(product.json)) { break }
                }
            }
            return ExitCode.done
        } catch {
            Console.note(error.sentence)
            return error.exitCode
        }
    }

    // MARK: Requests

    /// How many times to try to read all pages of one version.
    private static let attempts = 5

    private static func products(
        _ client: RESTClient, query: String, limit: Int
    ) throws(CommandFailure) -> [JSONRecord] {
        for _ in 0..<attempts {
            if let products = try productsOfOneVersion(client, query: query, limit: limit) { return products }
        }
        throw CommandFailure(
            exitCode: ExitCode.refused, sentence: "The menu changed while it was read, \(attempts) times in a row.")
    }

    /// All pages; `nil` if the menu changed between two of them.
    private static func productsOfOneVersion(
        _ client: RESTClient, query: String, limit: Int
    ) throws(CommandFailure) -> [JSONRecord]? {
        var products: [JSONRecord] = []
        var version: String?
        for page in 1... {
            let response = try client.request(
                .get, "/api/v1/menu?\(query)&page=\(page)&limit=\(min(limit, 100))")
            let records = try records(of: response)
            let pageVersion = response.headers.first("x-menu-version")
            if page > 1, pageVersion != version { return nil }
            version = pageVersion
            products += records
            let isLast = !(response.headers.first("link") ?? "").contains("rel=\"next\"")
            if isLast || records.isEmpty || products.count >= limit { break }
        }
        return Array(products.prefix(limit))
    }

    private static func categories(
        _ client: RESTClient, _ restaurant: RestaurantID
    ) throws(CommandFailure) -> [JSONRecord] {
        try records(of: try client.request(.get, "/api/v1/menu/categories?restaurant_id=\(restaurant)"))
    }

    private static func records(of response: HTTPResponse) throws(CommandFailure) -> [JSONRecord] {
        guard let records = JSONRecord.array(response.body) else {
            throw CommandFailure(exitCode: ExitCode.refused, sentence: "The server's answer is not a list in JSON.")
        }
        return records
    }

    // MARK: Output

    private static func show(categories: [JSONRecord]) {
        guard Console.isTerminal else {
            for category in categories where !Console.write(Console.jsonLine(category.json)) { return }
            return
        }
        var table = Table([
            .init(heading: "CATEGORY", isFlexible: true), .init(heading: "PRODUCTS", isNumber: true),
            .init(heading: "ID"),
        ])
        for category in categories {
            table.append([category.text("name"), category.text("product_count"), category.text("id")])
        }
        _ = Console.write(table.bytes())
    }

    /// The products in the order of their categories. Those without a category, or of a hidden one, come last.
    private static func show(_ products: [JSONRecord], categories: [JSONRecord]) {
        let known = categories.map { $0.text("id") }
        let groups = Dictionary(grouping: products) { product in
            known.firstIndex(of: product.text("category_id")) ?? known.count
        }
        for (index, group) in groups.sorted(by: { $0.key < $1.key }) {
            let name = index < categories.count ? categories[index].text("name") : "Others"
            var table = Table([
                .init(heading: name, isFlexible: true), .init(heading: "PRICE", isNumber: true), .init(heading: ""),
                .init(heading: "ID"),
            ])
            for product in group {
                let note = product.boolean("is_active") ? choices(of: product) : "not sold now"
                table.append([product.text("name"), product.money("price"), note, product.text("id")])
            }
            _ = Console.write(table.bytes() + [0x0a])
        }
        Console.note("\(products.count) products.")
    }

    private static func choices(of product: JSONRecord) -> String {
        let parts = [("variants", "variants"), ("modifiers", "modifiers")].compactMap { name, word in
            let count = product.records(name).count
            return count == 0 ? nil : "\(count) \(word)"
        }
        return parts.joined(separator: ", ")
    }
}
