// Rights that are taken away while a tablet is connected: a user is deactivated, gets another role or leaves the restaurant,
// or a restaurant is closed, by whatever program.

import FynloCore

/// Closes the connections of those who may no longer act for their restaurant.
final class AccessHandler {
    private let hub: Hub
    private let users: UserRepository
    private let log: Logger
    private var watches: [RestaurantID: AccessWatch] = [:]

    init(hub: Hub, users: UserRepository, log: Logger) {
        self.hub = hub
        self.users = users
        self.log = log
    }

    /// A tablet has joined with rights that were looked up at `version`.
    func join(_ restaurant: RestaurantID, version: Int64) {
        if watches[restaurant]?.joined(at: version) == nil { watches[restaurant] = AccessWatch(version: version) }
    }

    /// The last tablet of a restaurant has left.
    func leave(_ restaurant: RestaurantID) {
        watches[restaurant] = nil
    }

    /// The version of a restaurant's access is `version`; `nil`: the restaurant no longer exists.
    func found(_ restaurant: RestaurantID, version: Int64?) {
        guard watches[restaurant]?.found(version) == true else { return }
        let members = hub.members(of: restaurant)
        users.rights(of: Set(members.map(\.user)), in: restaurant) { [weak self] result in
            self?.check(members, restaurant, result)
        }
    }

    private func check(
        _ members: [ConnectionRegistry.Member], _ restaurant: RestaurantID,
        _ result: Result<AccessRights, PostgresError>
    ) {
        switch result {
        case .failure(let error):
            log.warning("access_unchecked", ["error": error.description])
            watches[restaurant]?.checkFailed()
        case .success(let rights):
            watches[restaurant]?.checked(at: rights.version)
            for member in members {
                let record = rights.records[member.user]
                let isInOrder = record.map { AccessPolicy.mayAct($0, for: restaurant) && $0.role == member.role }
                guard isInOrder != true, let connection = hub.connection(member.connection) else { continue }
                log.info("access_revoked", ["connection": connection.id.uuid.description])
                connection.close(.accessRevoked)
            }
        }
    }
}
