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

/// The parts of menus that this process has read, each as of one version of its menu, within a bound.
public struct MenuCopies: Sendable {
    private var copies: RecentlyUsed<MenuPart, MenuDocument>

    /// About what a copy takes besides its bytes: most of it are the fields of its answers.
    private static let overheadBytes = 2_048

    public init(limits: Limits) {
        copies = RecentlyUsed(limit: limits.menuCopiesBytes)
    }

    /// The part as of `version`, if that is what there is. One of another version is let go of: it will not be asked for.
    public mutating func copy(of part: MenuPart, version: Int64) -> MenuDocument? {
        guard let document = copies.use(part) else { return nil }
        guard document.version == version else {
            copies.remove(part)
            return nil
        }
        return document
    }

    /// Keeps a part, unless what there is of it is newer: who read it may have been slow.
    public mutating func keep(_ document: MenuDocument) {
        if let other = copies[document.part], other.version > document.version { return }
        copies.insert(document, for: document.part, cost: document.body.count + MenuCopies.overheadBytes)
    }

    /// Bytes that the copies take, about.
    public var byteCount: Int { copies.cost }
}
