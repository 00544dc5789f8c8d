import FynloCore
import Testing

@Suite("CloseReason")
struct CloseReasonTests {
    @Test(
        "every reason has its code, and a sentence that fits into a close frame",
        arguments: [
            (.goingAway, 1001), (.binaryRefused, 1003), (.internalError, 4000), (.authenticationRequired, 4001),
            (.authenticationTimeout, 4002), (.authenticationFailed, 4003), (.heartbeatTimeout, 4004),
            (.tokenExpired, 4005),
            (.accessRevoked, 4006), (.rateLimited, 4008), (.slowConsumer, 4010), (.replaced, 4011),
        ] as [(CloseReason, UInt16)])
    func codes(reason: CloseReason, code: UInt16) {
        #expect(reason.code == code)
        #expect((1...123).contains(reason.sentence.utf8CodeUnitCount))
        #expect(CloseReason.allCases.count == 12)
    }

    @Test(
        "failed authentications close as the contract says",
        arguments: [
            (.timeout, 4002, "Authentication timeout"), (.notAuthentication, 4001, "Authentication required"),
            (.missingData, 4003, "Authentication failed"), (.invalidToken, 4003, "Authentication failed"),
            (.accessDenied, 4003, "Authentication failed"), (.connectionLimit, 4003, "Authentication failed"),
            (.unavailable, 4000, "Internal error"),
        ] as [(AuthenticationFailure, UInt16, String)])
    func failures(failure: AuthenticationFailure, code: UInt16, reason: String) {
        #expect(failure.closeReason.code == code && failure.closeReason.sentence.description == reason)
    }
}
