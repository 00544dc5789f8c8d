import FynloCore
import Testing

@Suite("AccessPolicy")
struct AccessPolicyTests {
    private struct Row {
        let role: Role?
        let home: RestaurantID?
        let isMember: Bool
        let userIsActive: Bool
        let restaurantIsActive: Bool
    }

    /// Every combination there is.
    private static let rows: [Row] = {
        var rows: [Row] = []
        for role in Role.allCases.map(Optional.some) + [nil] {
            for home in [Sample.restaurant, Sample.otherRestaurant, nil] {
                for bits in 0..<8 {
                    rows.append(
                        Row(
                            role: role, home: home, isMember: bits & 1 != 0, userIsActive: bits & 2 != 0,
                            restaurantIsActive: bits & 4 != 0))
                }
            }
        }
        return rows
    }()

    private func record(_ row: Row) -> AccessRecord {
        AccessRecord(
            user: Sample.user, role: row.role, userIsActive: row.userIsActive, homeRestaurant: row.home,
            isMember: row.isMember, restaurantIsActive: row.restaurantIsActive, head: 0, menuVersion: 0)
    }

    private func mayAct(_ row: Row) -> Bool {
        AccessPolicy.mayAct(record(row), for: Sample.restaurant)
    }

    @Test("nobody acts for an inactive restaurant, and no inactive user for any")
    func inactive() {
        for row in Self.rows where !row.userIsActive || !row.restaurantIsActive { #expect(!mayAct(row), "\(row)") }
    }

    @Test("platform owners act for every restaurant")
    func platformOwners() {
        for row in Self.rows where row.userIsActive && row.restaurantIsActive && row.role == .platformOwner {
            #expect(mayAct(row), "\(row)")
        }
    }

    @Test("everybody else acts for their own restaurant and those listed for them")
    func staff() {
        for row in Self.rows where row.userIsActive && row.restaurantIsActive && row.role != .platformOwner {
            let expected = row.role != nil && (row.home == Sample.restaurant || row.isMember)
            #expect(mayAct(row) == expected, "\(row)")
        }
        #expect(Self.rows.count == 120)
    }

    @Test("managers and owners manage where they may act, and employees nowhere")
    func management() {
        for row in Self.rows {
            let isManagement = row.role == .manager || row.role == .restaurantOwner || row.role == .platformOwner
            #expect(
                AccessPolicy.mayManage(record(row), Sample.restaurant) == (isManagement && mayAct(row)), "\(row)")
        }
    }

    @Test("roles are named as in the database")
    func names() {
        #expect(Role.allCases.map(\.rawValue) == ["platform_owner", "restaurant_owner", "manager", "employee"])
    }
}
