// What is read of a menu: pages of products, and the list of categories.

/// Which page of a menu.
public struct MenuPageRequest: Hashable, Sendable {
    public let restaurant: RestaurantID
    /// `nil`: of all of them, and of none.
    public let category: CategoryID?
    /// From 1.
    public let page: Int
    public let limit: Int
    public let includesInactive: Bool

    public init(restaurant: RestaurantID, category: CategoryID?, page: Int, limit: Int, includesInactive: Bool) {
        self.restaurant = restaurant
        self.category = category
        self.page = page
        self.limit = limit
        self.includesInactive = includesInactive
    }
}

/// Which part of a menu.
public enum MenuPart: Hashable, Sendable {
    case page(MenuPageRequest)
    case categories(RestaurantID)

    public var restaurant: RestaurantID {
        switch self {
        case .page(let page): page.restaurant
        case .categories(let restaurant): restaurant
        }
    }
}

/// A page, or the list of categories, as it goes out.
public struct MenuDocument: Equatable, Sendable {
    /// The version of the menu that it belongs to.
    public let version: Int64
    /// Products that match, on all pages; or categories.
    public let total: Int64
    /// A JSON array.
    public let body: [UInt8]
    /// The ETag field. A strong validator: of the bytes themselves, so that two nodes give the same one.
    public let tag: String

    /// Computes the tag, once for all who are given the document.
    public init(version: Int64, total: Int64, body: [UInt8]) {
        self.version = version
        self.total = total
        self.body = body
        tag = "\"" + SHA1.digest(body.span).hexadecimal + "\""
    }
}

/// The parts of menus that this process has read, each as of one version of its menu, within a bound.
public struct MenuCopies: Sendable {
    private var copies: RecentlyUsed<MenuPart, MenuDocument>

    /// About what a copy takes besides its bytes.
    private static let overheadBytes = 512

    public init(limits: Limits) {
        copies = RecentlyUsed(limit: limits.menuCopiesBytes)
    }

    /// The part as of `version`, if that is what there is. One of another version is let go of: it will not be asked for.
    public mutating func copy(of part: MenuPart, version: Int64) -> MenuDocument? {
        guard let document = copies[part] else { return nil }
        guard document.version == version else {
            copies.remove(part)
            return nil
        }
        return copies.use(part)
    }

    /// Keeps a part, unless what there is of it is newer: who read it may have been slow.
    public mutating func keep(_ document: MenuDocument, as part: MenuPart) {
        if let other = copies[part], other.version > document.version { return }
        copies.insert(document, for: part, cost: document.body.count + MenuCopies.overheadBytes)
    }

    /// Bytes that the copies take, about.
    public var byteCount: Int { copies.cost }
}
