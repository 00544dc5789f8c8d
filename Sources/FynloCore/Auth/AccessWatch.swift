// Decides when the rights of a restaurant's tablets are checked again. Each tablet's rights were valid at some version of the
// restaurant's access; a later version says that something has changed, and then the rights of all tablets are queried.

/// The state of the access to one restaurant.
public struct AccessWatch: Sendable {
    /// Every tablet's rights were valid at this version or later.
    private var checkedAt: Int64
    private var isAsking = false
    /// The lowest version at which the rights of a tablet were valid that joined during a query.
    private var joinedMeanwhile: Int64?

    /// Begins to watch a restaurant whose first tablet's rights were valid at `version`.
    public init(version: Int64) {
        checkedAt = version
    }

    /// Another tablet joined. Its rights were valid at `version`, which may be an earlier one, since the answer takes time.
    public mutating func joined(at version: Int64) {
        if isAsking {
            joinedMeanwhile = min(joinedMeanwhile ?? version, version)
        } else {
            checkedAt = min(checkedAt, version)
        }
    }

    /// Takes the present version, or `nil` if the restaurant no longer exists; true if all rights have to be queried.
    public mutating func found(_ version: Int64?) -> Bool {
        guard !isAsking, version != checkedAt else { return false }
        isAsking = true
        return true
    }

    /// The query is complete: all tablets that were connected when it began were checked as of `version`.
    public mutating func checked(at version: Int64) {
        isAsking = false
        checkedAt = min(version, joinedMeanwhile ?? version)
        joinedMeanwhile = nil
    }

    /// The query failed: the next version that is found leads to another one.
    public mutating func checkFailed() {
        isAsking = false
        checkedAt = min(checkedAt, joinedMeanwhile ?? checkedAt)
        joinedMeanwhile = nil
    }
}
