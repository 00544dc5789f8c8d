// Every key and every channel that the server uses in Redis.
//
//     {prefix}nodes                a hash      node -> what it says of itself
//     {prefix}node:{node}          a string    the node's lease: it exists as long as the node renews it
//     {prefix}slots:{restaurant}   a hash      node-number -> user order device: one field per connection
//     {prefix}r:{restaurant}       a channel   messages for one restaurant
//     {prefix}n:{node}             a channel   messages for one node
//     {prefix}all                  a channel   messages for every node
//     menu:v3:{restaurant}:{category}:{page}:{limit}:{inactive}    a page of a menu
//     menu_categories:v2:{restaurant}                              a menu's categories
//
// The prefix is `fynlo:1:`, where 1 is the version of what nodes say to each other. The menu's keys are fixed by the API's
// contract and have no prefix. A node is 16 hexadecimal digits.

import FynloCore

/// Builds keys and channels.
struct RedisKeys {
    /// Begins every key and channel that nodes share.
    let prefix: String
    /// The hash of the nodes that exist.
    let nodes: String
    /// Begins every node's lease.
    let leasePrefix: String
    private let slotsPrefix: String
    /// Begins every restaurant's channel.
    let restaurantChannelPrefix: String

    init(prefix: String) {
        self.prefix = prefix
        nodes = prefix + "nodes"
        leasePrefix = prefix + "node:"
        slotsPrefix = prefix + "slots:"
        restaurantChannelPrefix = prefix + "r:"
    }

    /// A node's lease.
    func lease(_ node: UInt64) -> String { leasePrefix + ConnectionID.nodeName(node) }

    /// The slots of a restaurant.
    func slots(_ restaurant: RestaurantID) -> RedisArgument { .uuid(restaurant.uuid, after: slotsPrefix) }

    /// The channel for messages to one restaurant's tablets.
    func channel(of restaurant: RestaurantID) -> String { "\(restaurantChannelPrefix)\(restaurant)" }

    /// The channel for messages to one node.
    func channel(ofNode node: UInt64) -> String { "\(prefix)n:\(ConnectionID.nodeName(node))" }

    /// The channel for messages to every node.
    var channelOfAll: String { prefix + "all" }

    /// The key of a part of a menu.
    static func menu(_ part: MenuPart) -> String {
        switch part {
        case .page(let page):
            let category = page.category?.description ?? "all"
            let inactive = page.includesInactive ? "True" : "False"
            return "menu:v3:\(page.restaurant):\(category):\(page.page):\(page.limit):\(inactive)"
        case .categories(let restaurant):
            return "menu_categories:v2:\(restaurant)"
        }
    }
}

extension ConnectionID {
    /// A node in keys, channels and sentences: 16 hexadecimal digits.
    static func nodeName(_ node: UInt64) -> String {
        var name = ByteBuffer()
        name.append(hexadecimal: node)
        return String(decoding: name.bytes(), as: UTF8.self)
    }
}
