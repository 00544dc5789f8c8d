import FynloCore
import Testing

extension ConnectionRegistry {
    fileprivate mutating func admit(
        _ connection: UInt64, user: UserID, device: String? = nil, to restaurant: RestaurantID = Sample.restaurant,
        perRestaurant: Int = 100, perUser: Int = 5
    ) -> Admission {
        admit(
            Member(connection, user: user, device: device), to: restaurant, perRestaurant: perRestaurant,
            perUser: perUser)
    }

    fileprivate func numbers(_ restaurant: RestaurantID = Sample.restaurant) -> [UInt64] {
        members(of: restaurant).map(\.connection)
    }
}

@Suite("ConnectionRegistry")
struct ConnectionRegistryTests {
    private static let admitted = Admission.admitted(replacing: nil)

    @Test("a restaurant has 100 connections, and the 101st is refused")
    func perRestaurant() {
        var registry = ConnectionRegistry()
        for number in 0..<100 {
            #expect(registry.admit(UInt64(number), user: Sample.user(number)) == Self.admitted)
        }
        #expect(registry.admit(100, user: Sample.user(100)) == .refused)
        #expect(registry.count == 100 && registry.numbers() == Array(0..<100))
        #expect(registry.admit(100, user: Sample.user(100), to: Sample.otherRestaurant) == Self.admitted)
        #expect(registry.remove(50, from: Sample.restaurant) == true)
        #expect(registry.admit(101, user: Sample.user(100)) == Self.admitted)
        #expect(registry.admit(102, user: Sample.user(102)) == .refused)
    }

    @Test("a user has 5 connections in a restaurant, and as many in another")
    func perUser() {
        var registry = ConnectionRegistry()
        for number in 0..<5 { #expect(registry.admit(UInt64(number), user: Sample.user) == Self.admitted) }
        #expect(registry.admit(5, user: Sample.user) == .refused)
        #expect(registry.admit(5, user: Sample.user, device: "new") == .refused)
        #expect(registry.admit(6, user: Sample.otherUser) == Self.admitted)
        #expect(registry.admit(7, user: Sample.user, to: Sample.otherRestaurant) == Self.admitted)
        registry.remove(2, from: Sample.restaurant)
        #expect(registry.admit(8, user: Sample.user) == Self.admitted)
        #expect(registry.numbers() == [0, 1, 3, 4, 6, 8])
    }

    @Test("the same device of the same user takes its older connection's place, also where both limits are reached")
    func replacement() {
        var registry = ConnectionRegistry()
        for number in 0..<5 {
            _ = registry.admit(UInt64(number), user: Sample.user, device: "\(number)", perRestaurant: 5)
        }
        #expect(registry.admit(10, user: Sample.user, device: "3", perRestaurant: 5) == .admitted(replacing: 3))
        #expect(registry.numbers() == [0, 1, 2, 4, 10] && registry.count == 5)
        #expect(registry.admit(11, user: Sample.user, device: "3", perRestaurant: 5) == .admitted(replacing: 10))
        // The replaced one is out already when its socket closes.
        #expect(registry.remove(10, from: Sample.restaurant) == false)
        #expect(registry.count == 5)
    }

    @Test("neither another user's nor another restaurant's device is replaced, nor one without a name")
    func noReplacement() {
        var registry = ConnectionRegistry()
        _ = registry.admit(1, user: Sample.user, device: "bar")
        _ = registry.admit(2, user: Sample.user)
        #expect(registry.admit(3, user: Sample.otherUser, device: "bar") == Self.admitted)
        #expect(registry.admit(4, user: Sample.user, device: "bar", to: Sample.otherRestaurant) == Self.admitted)
        #expect(registry.admit(5, user: Sample.user) == Self.admitted)
        #expect(registry.admit(6, user: Sample.user, device: "Bar") == Self.admitted)
        #expect(registry.numbers() == [1, 2, 3, 5, 6] && registry.numbers(Sample.otherRestaurant) == [4])
    }

    @Test("a refusal changes nothing, also when a replacement would not have been enough")
    func refusal() {
        var registry = ConnectionRegistry()
        for number in 0..<4 { _ = registry.admit(UInt64(number), user: Sample.user, device: "\(number)") }
        let before = registry.members(of: Sample.restaurant)
        #expect(registry.admit(9, user: Sample.user, device: "0", perUser: 3) == .refused)
        #expect(registry.admit(9, user: Sample.user, device: "0", perRestaurant: 3) == .refused)
        #expect(registry.members(of: Sample.restaurant) == before && registry.count == 4)
        var empty = ConnectionRegistry()
        #expect(empty.admit(9, user: Sample.user, perUser: 0) == .refused)
        #expect(empty.restaurants.isEmpty && empty.count == 0)
    }

    @Test("a connection leaves once, and only the restaurant it is in; the last one leaves nothing behind")
    func removal() {
        var registry = ConnectionRegistry()
        _ = registry.admit(1, user: Sample.user)
        #expect(registry.remove(2, from: Sample.restaurant) == false)
        #expect(registry.remove(1, from: Sample.otherRestaurant) == false)
        #expect(registry.count == 1)
        #expect(registry.remove(1, from: Sample.restaurant) == true)
        #expect(registry.remove(1, from: Sample.restaurant) == false)
        #expect(registry.count == 0 && registry.restaurants.isEmpty && registry.numbers().isEmpty)
    }

    @Test(
        "keeps what a tablet calls itself to the letter",
        arguments: [
            "", "till 1", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", "0A1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
            "0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f",
            "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "FFFF",
        ])
    func devices(name: String) {
        let device = ConnectionRegistry.Device(name)
        #expect(device.text == name)
        for other in [name.lowercased(), name.uppercased()] where other != name {
            #expect(ConnectionRegistry.Device(other) != device)
        }
    }

    @Test("agrees with a list that is counted each time", arguments: 0..<20 as Range<UInt64>)
    func model(seed: UInt64) {
        struct Entry: Equatable {
            var restaurant: RestaurantID
            var connection: UInt64
            var user: UserID
            var device: String?
        }
        var generator = SeededBytes(seed)
        var registry = ConnectionRegistry()
        var model: [Entry] = []
        let restaurants = [Sample.restaurant, Sample.otherRestaurant]
        for number in 0..<600 as Range<UInt64> {
            let restaurant = restaurants[Int.random(in: 0..<2, using: &generator)]
            if Int.random(in: 0..<4, using: &generator) == 0 {
                let connection = UInt64.random(in: 0...number, using: &generator)
                let index = model.firstIndex { $0.connection == connection && $0.restaurant == restaurant }
                #expect(registry.remove(connection, from: restaurant) == (index != nil))
                if let index { model.remove(at: index) }
            } else {
                let user = Sample.user(Int.random(in: 0..<6, using: &generator))
                let device = [nil, "a", "b", "c", "d", "e", "f"][Int.random(in: 0..<7, using: &generator)]
                let new = Entry(restaurant: restaurant, connection: number, user: user, device: device)
                let old = model.first {
                    $0.restaurant == restaurant && $0.user == user && $0.device == device && device != nil
                }
                let others = model.filter { $0 != old && $0.restaurant == restaurant }
                let expected: Admission
                if others.count < 12, others.filter({ $0.user == user }).count < 3 {
                    expected = .admitted(replacing: old?.connection)
                    model.removeAll { $0 == old }
                    model.append(new)
                } else {
                    expected = .refused
                }
                let admission = registry.admit(
                    number, user: user, device: device, to: restaurant, perRestaurant: 12, perUser: 3)
                #expect(admission == expected, "seed \(seed), step \(number)")
            }
            #expect(registry.count == model.count)
            for restaurant in restaurants {
                #expect(registry.numbers(restaurant) == model.filter { $0.restaurant == restaurant }.map(\.connection))
            }
            #expect(Set(registry.restaurants) == Set(model.map(\.restaurant)))
        }
    }
}
