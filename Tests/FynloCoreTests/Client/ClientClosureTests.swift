import FynloCore
import Testing

@Suite("ClientStack: how it ends, and whether it may come back")
struct ClientClosureTests {
    @Test(
        "reads close codes as the contract does",
        arguments: [
            (1000, .never), (1001, .afterDelay(atLeast: nil)), (1002, .never), (1003, .never), (1007, .never),
            (1008, .never), (1009, .never), (1011, .afterDelay(atLeast: nil)), (3000, .afterDelay(atLeast: nil)),
            (4000, .afterDelay(atLeast: nil)), (4001, .withNewToken), (4002, .withNewToken), (4003, .withNewToken),
            (4004, .afterDelay(atLeast: nil)), (4005, .withNewToken), (4006, .never),
            (4008, .afterDelay(atLeast: nil)), (4010, .afterDelay(atLeast: nil)), (4011, .never),
            (4999, .afterDelay(atLeast: nil)),
        ] as [(UInt16, Reconnection)])
    func codes(code: UInt16, reconnection: Reconnection) {
        var pair = ClientServerPair.connected()
        pair.isCut = true
        pair.give(FrameBytes.closeFrame(code, Array("Because".utf8), mask: nil))
        #expect(pair.events == [.closed(ClientClosure(code: code, reason: "Because", reconnection: reconnection))])
        #expect(pair.client.state == .closed)
        #expect(FrameBytes.parse(pair.takeOutput())?.map(\.opcode) == [FrameBytes.close], "it answers")
    }

    @Test("a close frame without a code is no reason to stay away")
    func noCode() {
        var pair = ClientServerPair.connected()
        pair.isCut = true
        pair.give(FrameBytes.frame(FrameBytes.close, [], mask: nil))
        #expect(pair.closure?.code == 1005)
        #expect(pair.closure?.reconnection == .afterDelay(atLeast: nil))
        #expect(pair.closure?.reason.isEmpty == false)
    }

    @Test("comes back after a refusal as the refusal says", arguments: AuthenticationFailure.allCases)
    func refusedAuthentication(failure: AuthenticationFailure) {
        var pair = ClientServerPair()
        pair.outcome = .failed(failure, retryAfter: nil)
        pair.open()
        #expect(pair.types == ["auth_error"])
        #expect(pair.closure?.code == failure.closeReason.code)
        #expect(pair.closure?.refusal?.code == failure.code.description)
        #expect(pair.closure?.refusal?.sentence == failure.sentence)
        #expect(pair.closure?.reconnection == (failure.isRetryable ? .afterDelay(atLeast: nil) : .withNewToken))
    }

    @Test("waits as long as a refusal asks for, even when the close frame is lost")
    func retryAfter() {
        var pair = ClientServerPair()
        pair.outcome = .failed(.connectionLimit, retryAfter: .seconds(5))
        pair.open()
        #expect(pair.closure?.reconnection == .afterDelay(atLeast: .seconds(5)))

        var cut = ClientServerPair()
        cut.outcome = nil
        cut.open()
        cut.give(#"{"type":"auth_error","data":{"error":"No.","code":"access_denied","retryable":false}}"#)
        #expect(cut.closure == nil)
        cut.endOfInput()
        #expect(cut.closure?.code == 1006)
        #expect(cut.closure?.reconnection == .withNewToken)
    }

    @Test("a refused reauth is no refusal of the connection")
    func refusedReauthentication() {
        var pair = ClientServerPair.connected()
        pair.give(#"{"type":"auth_error","data":{"error":"No.","code":"invalid_token","retryable":false}}"#)
        pair.endOfInput()
        #expect(pair.closure?.refusal == nil)
        #expect(pair.closure?.reconnection == .afterDelay(atLeast: nil))
    }

    @Test(
        "returns to a draining server in its own slot, within reason",
        arguments: [("2500", 2_500), ("0", 0), ("-9", 0), ("9223372036854775807", 3_600_000)] as [(String, Int64)])
    func drain(told: String, milliseconds: Int64) {
        var pair = ClientServerPair.connected()
        pair.give(#"{"type":"reconnect","data":{"retry_after_ms":\#(told)}}"#)
        pair.isCut = true
        pair.give(FrameBytes.closeFrame(1001, mask: nil))
        #expect(pair.closure?.reconnection == .afterDelay(atLeast: .milliseconds(milliseconds)))
    }

    @Test(
        "tells a busy server from a wrong address",
        arguments: [
            (
                "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
                .afterDelay(atLeast: .seconds(7))
            ),
            (
                "HTTP/1.1 503 Busy\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n",
                .afterDelay(atLeast: .seconds(3_600))
            ),
            ("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", .afterDelay(atLeast: nil)),
            ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", .afterDelay(atLeast: nil)),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", .never),
            ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", .never),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", .never),
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", .never
            ),
            ("SSH-2.0-OpenSSH_9.2p1 Debian\r\n", .never),
        ] as [(String, Reconnection)])
    func upgradeRefused(answer: String, reconnection: Reconnection) {
        for arrival in [FrameArrival.whole, .byteByByte] {
            var pair = ClientServerPair(arrival: arrival)
            pair.isCut = true
            pair.open()
            pair.give(Array(answer.utf8))
            #expect(pair.closure?.reconnection == reconnection)
            #expect(pair.closure?.reason.isEmpty == false)
            #expect(pair.events.count == 1)
        }
    }

    @Test("gives the reason of a refused upgrade in the server's words")
    func problemDetail() {
        var pair = ClientServerPair()
        var refused = ClientServerPair()
        refused.server = Tablet(refusal: APIError(.unavailable, "The server is full."))
        refused.open()
        #expect(refused.closure?.reason == "The server is full.")

        // A body that ends with the connection.
        pair.isCut = true
        pair.open()
        pair.give(Array("HTTP/1.1 400 Bad Request\r\n\r\n{\"detail\":\"Not a UUID.\"}".utf8))
        #expect(pair.closure == nil)
        pair.endOfInput()
        #expect(pair.closure == ClientClosure(code: 1006, reason: "Not a UUID.", reconnection: .never))
    }

    @Test("a lost connection is 1006, wherever it was lost")
    func lost() {
        var connecting = ClientServerPair()
        connecting.endOfInput("Connection refused.")
        #expect(connecting.closure == .lost("Connection refused."))
        var upgrading = ClientServerPair()
        upgrading.isCut = true
        upgrading.open()
        upgrading.endOfInput()
        #expect(upgrading.closure?.code == 1006)
        var connected = ClientServerPair.connected()
        connected.endOfInput()
        #expect(connected.closure?.code == 1006)
        #expect(connected.closure?.reconnection == .afterDelay(atLeast: nil))
    }
}
