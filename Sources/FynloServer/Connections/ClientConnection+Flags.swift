// What is true of a connection or is not: a bit each, since there is one of these for every tablet.

extension ClientConnection {
    /// The bits.
    struct Flags: OptionSet {
        let rawValue: UInt16

        static let isOperators = Flags(rawValue: 1 << 0)
        static let isHeldBack = Flags(rawValue: 1 << 1)
        static let isWaitingToRead = Flags(rawValue: 1 << 2)
        static let isHungUp = Flags(rawValue: 1 << 3)
        static let isWebSocket = Flags(rawValue: 1 << 4)
        static let isFlushScheduled = Flags(rawValue: 1 << 5)
        static let isReading = Flags(rawValue: 1 << 6)
        static let isSlow = Flags(rawValue: 1 << 7)
        static let sharesOutbound = Flags(rawValue: 1 << 8)
        static let resumesReplay = Flags(rawValue: 1 << 9)

        subscript(flag: Flags) -> Bool {
            get { contains(flag) }
            set { self = newValue ? union(flag) : subtracting(flag) }
        }
    }

    /// For operators: it counts for nothing else.
    var isOperators: Bool {
        get { flags[.isOperators] }
        set { flags[.isOperators] = newValue }
    }

    /// There are requests in `leftover` that wait until the answers to earlier ones are written.
    var isHeldBack: Bool {
        get { flags[.isHeldBack] }
        set { flags[.isHeldBack] = newValue }
    }

    /// Set while the hub has it wait to be read from.
    var isWaitingToRead: Bool {
        get { flags[.isWaitingToRead] }
        set { flags[.isWaitingToRead] = newValue }
    }

    /// A hang-up was seen while it waited.
    var isHungUp: Bool {
        get { flags[.isHungUp] }
        set { flags[.isHungUp] = newValue }
    }

    /// What the socket is used for.
    var isWebSocket: Bool {
        get { flags[.isWebSocket] }
        set { flags[.isWebSocket] = newValue }
    }

    /// It will be written at the end of the turn.
    var isFlushScheduled: Bool {
        get { flags[.isFlushScheduled] }
        set { flags[.isFlushScheduled] = newValue }
    }

    /// It is being read from, and will be written right after.
    var isReading: Bool {
        get { flags[.isReading] }
        set { flags[.isReading] = newValue }
    }

    /// It does not read: it is sent nothing more but why.
    var isSlow: Bool {
        get { flags[.isSlow] }
        set { flags[.isSlow] = newValue }
    }

    /// The memory of `outbound` is a frame's, which others have, too.
    var sharesOutbound: Bool {
        get { flags[.sharesOutbound] }
        set { flags[.sharesOutbound] = newValue }
    }

    /// Set while the tablet is to read some before it is sent more of what it missed.
    var resumesReplay: Bool {
        get { flags[.resumesReplay] }
        set { flags[.resumesReplay] = newValue }
    }
}
