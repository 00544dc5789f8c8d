// What a bus between the processes ("nodes") of one database has to do. Nothing durable depends on it: events are in
// Postgres, where the pulse finds within a second whatever a message was meant to tell.

import FynloCore

/// What became of a message that was handed to a bus.
enum NodeBusReceipt: Equatable {
    /// The bus could not take it.
    case unsent
    /// The bus has passed it on to so many nodes, this one included if it listens too; `nil`: this bus does not count them. A
    /// count saves waiting: nobody has to wait for an answer when no node has heard the question.
    case sent(receivers: Int?)
}

/// What has passed over a bus.
struct NodeBusFigures {
    /// Messages handed to the bus.
    var sent: [NodeMessage.Kind: UInt64] = [:]
    /// Messages that the bus did not take, or that were lost with its connection.
    var unsent: UInt64 = 0
    /// Messages of other nodes.
    var received: [NodeMessage.Kind: UInt64] = [:]
    /// Messages in another version of what nodes say to each other.
    var otherVersions: UInt64 = 0
    /// Messages that no known program sends, or that came on the wrong channel.
    var unreadable: UInt64 = 0
    /// Connections that were lost or could not be made.
    var losses: UInt64 = 0
}

/// Carries messages between nodes, and knows which nodes there are. It calls back from turns of the loop, never from within
/// a call of its user.
protocol NodeBus: AnyObject {
    /// Called with each message of another node. Set once.
    var received: (_ content: NodeMessage.Content, _ node: UInt64) -> Void { get set }
    /// Called when this node listens to all its channels again: it may have missed messages before. Set once.
    var whenCaughtUp: () -> Void { get set }

    /// Joins the other nodes.
    func open()
    /// Leaves them, and lets go of the callbacks.
    func close()

    // MARK: Listening

    /// True when this node hears what is meant for it.
    var isListening: Bool { get }
    /// Channels that this node hears.
    var channelCount: Int { get }
    /// Says whether this node has tablets of a restaurant, and has to hear what is meant for it.
    func want(_ restaurant: RestaurantID, _ isWanted: Bool)

    // MARK: Speaking

    /// Tells the nodes with tablets of a restaurant how far its events go. Of several calls in one turn the greatest number
    /// counts.
    func announce(_ restaurant: RestaurantID, head: EventSequence)
    /// Passes a text frame on to a restaurant's tablets on other nodes.
    func relay(_ frame: ByteBuffer, to restaurant: RestaurantID)
    /// Says something to one node.
    func tell(_ node: UInt64, _ content: NodeMessage.Content, then: @escaping (NodeBusReceipt) -> Void)
    /// Says something to every node.
    func tellAll(_ content: NodeMessage.Content, then: @escaping (NodeBusReceipt) -> Void)

    // MARK: Nodes

    /// The other nodes; `nil`: nobody can tell at the moment.
    func others(reply: @escaping ([UInt64]?) -> Void)
    /// Whether a node exists; `nil`: nobody can tell at the moment.
    func exists(_ node: UInt64, reply: @escaping (Bool?) -> Void)

    var figures: NodeBusFigures { get }
}

extension NodeBus {
    func tell(_ node: UInt64, _ content: NodeMessage.Content) { tell(node, content) { _ in } }
    func tellAll(_ content: NodeMessage.Content) { tellAll(content) { _ in } }
}
