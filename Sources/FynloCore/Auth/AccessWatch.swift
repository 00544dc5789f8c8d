// When have the rights of a restaurant's tablets to be looked at again? Each was found to be in order at some version of
// the restaurant's access; a later version says that something has changed, and who is concerned is then asked.

/// What is known of the access to one restaurant.
public struct AccessWatch: Sendable {
    /// Every tablet's rights are known to have been in order at this version, or later.
    private var checkedAt: Int64
    private var isAsking = false
    /// The lowest version at which a tablet that came while rights were being asked for had been found in order.
    private var joinedMeanwhile: Int64?

    /// The watch of a restaurant whose first tablet was found in order at `version`.
    public init(version: Int64) {
        checkedAt = version
    }

    /// Another tablet came, found in order at `version`: the answer may have been some time on its way.
    public mutating func joined(at version: Int64) {
        if isAsking {
            joinedMeanwhile = min(joinedMeanwhile ?? version, version)
        } else {
            checkedAt = min(checkedAt, version)
        }
    }

    /// The version is `version` now: true if all rights are to be asked for. `nil`: there is no such restaurant any more.
    public mutating func found(_ version: Int64?) -> Bool {
        guard !isAsking, version != checkedAt else { return false }
        isAsking = true
        return true
    }

    /// All tablets that were there when rights were asked for have been dealt with as of `version`.
    public mutating func checked(at version: Int64) {
        isAsking = false
        checkedAt = min(version, joinedMeanwhile ?? version)
        joinedMeanwhile = nil
    }

    /// Rights could not be asked for: the next find asks again.
    public mutating func checkFailed() {
        isAsking = false
        checkedAt = min(checkedAt, joinedMeanwhile ?? checkedAt)
        joinedMeanwhile = nil
    }
}
