import FynloCore
import Testing

@Suite("Limits")
struct LimitsTests {
    @Test("the defaults of the configuration")
    func configurable() {
        let limits = Limits()
        #expect(limits.connectionsPerAddress == 0)
        #expect(limits.connectionsPerRestaurant == 100)
        #expect(limits.connectionsPerUser == 5)
        #expect(limits.authenticationTimeout == .seconds(10))
        #expect(limits.idlePing == .seconds(30))
        #expect(limits.staleAfter == .seconds(60))
        #expect(limits.sweepInterval == .seconds(30))
        #expect(limits.heartbeatInterval == .seconds(15))
        #expect(limits.tokenWarning == .seconds(300))
        #expect(limits.tokenLeeway == .seconds(30))
        #expect(limits.messagesPerSecond == 20)
        #expect(limits.messageBurst == 100)
        #expect(limits.messageBytes == 65_536)
        #expect(limits.sendQueueBytes == 1_048_576)
        #expect(HTTPLimits().bodyBytes == 1_048_576)
        #expect(limits.unauthenticatedConnections * 4 == limits.connections)
        #expect(TokenPolicy().leeway == .seconds(30))
        #expect(TokenPolicy().audience == nil && TokenPolicy().issuer == nil)
    }

    @Test("the numbers that are the protocol's")
    func fixed() {
        let limits = Limits()
        #expect(limits.rateRefusals == 100)
        #expect(limits.rateRefusalWindow == .seconds(10))
        #expect(limits.waitingCommands == 64)
        #expect(limits.commandIDBytes == 128)
        #expect(limits.transientDataBytes == 16_384)
        #expect(limits.freeTextBytes == 64)
        #expect(limits.closeTimeout == .seconds(5))
        #expect(JSON.maximumDepth == 32)
    }

    @Test("strangers may send less than tablets, and a token fits all the same")
    func unauthenticated() {
        let limits = Limits()
        #expect(limits.unauthenticatedMessageBytes < limits.messageBytes)
        #expect(limits.unauthenticatedMessageBytes >= AccessToken.maximumBytes + 1_024)
    }
}
