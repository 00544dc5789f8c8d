import FynloCore

/// Identifiers of the tests' restaurants and people.
enum Sample {
    static let restaurant = RestaurantID(UUID128(high: 0x1111_1111_1111_4111, low: 0x8111_1111_1111_1111))
    static let otherRestaurant = RestaurantID(UUID128(high: 0x2222_2222_2222_4222, low: 0x8222_2222_2222_2222))
    static let user = UserID(UUID128(high: 0xaaaa_aaaa_aaaa_4aaa, low: 0x8aaa_aaaa_aaaa_aaaa))
    static let otherUser = UserID(UUID128(high: 0xbbbb_bbbb_bbbb_4bbb, low: 0x8bbb_bbbb_bbbb_bbbb))
    static let order = OrderID(UUID128(high: 0xcccc_cccc_cccc_4ccc, low: 0x8ccc_cccc_cccc_cccc))
    static let connection = ConnectionID(node: 0x0123_4567_89ab_cdef, number: 42)
    static let time = UnixTime(milliseconds: 1_769_882_645_123)

    static func user(_ number: Int) -> UserID {
        UserID(UUID128(high: 0xaaaa_aaaa_aaaa_4aaa, low: UInt64(number)))
    }

    static func event(_ sequence: EventSequence) -> DurableEvent {
        DurableEvent(
            restaurant: restaurant, sequence: sequence, type: "order.updated", data: Array("{\"n\":\(sequence)}".utf8),
            createdAt: time)
    }
}

extension AccessToken {
    private struct AllKeys: TokenSignatureChecking {
        func isValid(
            signature: [UInt8], of message: Span<UInt8>, algorithm: TokenAlgorithm, keyID: String?
        ) -> Bool { true }
    }

    /// A checked token that ends at a whole second; `nil` when it has ended already.
    static func sample(until end: UnixTime, now: UnixTime) throws(TokenError) -> AccessToken {
        let header = Base64.encode(Array("{\"alg\":\"HS256\"}".utf8), as: .url)
        let claims = Base64.encode(Array("{\"sub\":\"a\",\"exp\":\(end.seconds)}".utf8), as: .url)
        return try verify("\(header).\(claims).c2ln", keys: AllKeys(), policy: TokenPolicy(), now: now)
    }
}
