// The readable parts of a menu: pages of products, and the list of categories.

/// Which page of a menu.
public struct MenuPageRequest: Hashable, Sendable {
    public let restaurant: RestaurantID
    /// The category; `nil` for all products, with or without one.
    public let category: CategoryID?
    /// The page's number, from 1.
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

/// The menu parts that this process has read, each for one version of its menu; bounded in bytes.
public struct MenuCopies: Sendable {
    private var copies: RecentlyUsed<MenuPart, MenuDocument>

    /// Roughly what a copy takes besides its body: mostly the header fields of its responses.
    private static let overheadBytes = 2_048

    public init(limits: Limits) {
        copies = RecentlyUsed(limit: limits.menuCopiesBytes)
    }

    /// The part at `version`, if it is here. A copy of another version is dropped: nobody will ask for it again.
    public mutating func copy(of part: MenuPart, version: Int64) -> MenuDocument? {
        guard let document = copies.use(part) else { return nil }
        guard document.version == version else {
            copies.remove(part)
            return nil
        }
        return document
    }

    /// Stores a part, unless a newer copy is here: the reader may have been slow.
    public mutating func keep(_ document: MenuDocument) {
        if let other = copies[document.part], other.version > document.version { return }
        copies.insert(document, for: document.part, cost: document.body.count + MenuCopies.overheadBytes)
    }

    /// Roughly how many bytes the copies take.
    public var byteCount: Int { copies.cost }
}
