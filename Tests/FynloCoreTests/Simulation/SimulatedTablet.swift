// A tablet's app above its ClientStack: it keeps its copy of the restaurant's orders and a queue of commands, and knows
// what the contract lets it rely on.

import FynloCore
import TestSupport

/// One tablet, for good; its connections come and go.
struct SimulatedTablet {
    /// Something the waiter did.
    struct Command {
        let type: String
        let data: String
        /// Relayed, not kept: not sent again.
        var isTransient: Bool { !type.hasPrefix("order.") }
        /// On the present connection.
        var isSent = false
        /// On any connection.
        var wasSent = false
        /// It has its final answer, or none is wanted any more.
        var isSettled = false
    }

    let number: Int
    let restaurant: RestaurantID
    let user: ModelDatabase.User
    let device: String?
    /// Commands that it sends without waiting for the answers of those before.
    let window: Int

    var session: ClientStack?
    var link: Int?
    var input = ByteBuffer()
    var policy = ReconnectPolicy()
    var lastSequence: EventSequence?
    var wakeUp: Instant?
    /// It does not try again until somebody wants it to.
    var isStopped = false
    /// Its user does not look at it, and its kernel's buffer fills.
    var isAsleep = false
    /// The last refusal was for want of a place.
    var lacksPlace = false
    var tokenEnd = UnixTime(milliseconds: 0)
    var renewals = 0

    var commands: [Command] = []
    /// Commands before this one are settled.
    var firstOpen = 0

    /// The orders as the tablet shows them.
    var copy: [OrderID: Seen] = [:]
    /// The number the next event has to have; `nil` before the tablet has ever been in.
    var next: EventSequence?
    /// Counts what made a snapshot necessary; one that was asked for before is of no use.
    var snapshotLife = 0
    var awaitsSnapshot = false
    /// Events that came while a snapshot was awaited.
    private var later: [(sequence: EventSequence, order: OrderID, seen: Seen?)] = []

    init(number: Int, restaurant: RestaurantID, user: ModelDatabase.User, device: String?, window: Int) {
        self.number = number
        self.restaurant = restaurant
        self.user = user
        self.device = device
        self.window = window
    }

    func id(_ command: Int) -> String { "t\(number)-\(command)" }

    /// For a person.
    var state: String {
        """
        tablet \(number) (\(session.map { "\($0.state)" } ?? "away"), at \(lastSequence ?? session?.lastSequence ?? 0), \
        \(commands.count - firstOpen) commands open\(awaitsSnapshot ? ", awaiting a snapshot" : ""))
        """
    }

    var isConnected: Bool { session?.state == .connected }

    /// The tablet begins its copy anew, behind `sequence`.
    mutating func startOver(after sequence: EventSequence) {
        next = sequence + 1
        snapshotLife += 1
        awaitsSnapshot = true
        later = []
    }

    /// A durable event; `nil` for `seen`: the order is gone. Returns a broken promise.
    mutating func take(_ sequence: EventSequence, order: OrderID, seen: Seen?) -> String? {
        guard let next, sequence == next else { return "event \(sequence) where \(next ?? 0) belongs" }
        self.next = sequence + 1
        if awaitsSnapshot {
            later.append((sequence, order, seen))
        } else {
            copy[order] = seen
        }
        return nil
    }

    /// The snapshot it asked for.
    mutating func load(_ snapshot: Snapshot) {
        copy = snapshot.orders
        for event in later where event.sequence > snapshot.sequence { copy[event.order] = event.seen }
        later = []
        awaitsSnapshot = false
    }

    /// The connection is gone.
    mutating func forgetConnection() {
        lastSequence = session?.lastSequence ?? lastSequence
        session = nil
        link = nil
        input = ByteBuffer()
        wakeUp = nil
        for index in firstOpen..<commands.count {
            if commands[index].isTransient, commands[index].wasSent { commands[index].isSettled = true }
            commands[index].isSent = false
        }
        skipSettled()
    }

    mutating func settle(_ command: Int) {
        commands[command].isSettled = true
        skipSettled()
    }

    private mutating func skipSettled() {
        while firstOpen < commands.count, commands[firstOpen].isSettled { firstOpen += 1 }
    }
}
