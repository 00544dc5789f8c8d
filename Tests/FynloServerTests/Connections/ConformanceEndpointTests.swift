import FynloCore
import FynloIO
import Testing

@testable import FynloServer

@Suite("The endpoints for conformance suites")
struct ConformanceEndpointTests {
    private func echoSocket(_ server: TestServer) throws -> TestTablet {
        let socket = try TestTablet(loop: server.loop, address: server.address, target: "/debug/echo")
        try server.wait(for: "the upgrade") { socket.isUpgraded }
        return socket
    }

    @Test("send text and binary messages back, in one frame or in many")
    func echo() throws {
        let server = try TestServer(["FYNLO_ECHO": "1"])
        let socket = try echoSocket(server)
        socket.say("héllo")
        socket.sendFrame(.binary, [0x68, 0x69])
        socket.send(ClientFrame.text("a", isFinal: false).bytes)
        socket.send(ClientFrame.continuation("b", isFinal: false).bytes)
        socket.send(ClientFrame(opcode: 9, payload: [1]).bytes)
        socket.send(ClientFrame.continuation("c").bytes)
        socket.say("")
        try server.wait(for: "all of it") { socket.texts.count == 4 && socket.pongs == 1 }
        #expect(socket.texts == ["héllo", "hi", "abc", ""])
        socket.closeWebSocket(1000)
        try server.wait(for: "the end") { socket.isClosed }
        #expect(socket.closeCode == 1000)
        #expect(!socket.wasReset)
    }

    @Test("echo messages larger than a tablet may send, and close with 1009 above 16 MiB")
    func largeEcho() throws {
        let server = try TestServer(["FYNLO_ECHO": "1"])
        let socket = try echoSocket(server)
        let large = String(repeating: "0123456789abcdef", count: 1 << 16)
        socket.say(large)
        try server.wait(for: "1 MiB") { socket.texts.count == 1 }
        #expect(socket.texts[0] == large)
        socket.send([0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 1, 1, 2, 3, 4])  // 16 MiB and a byte
        try server.wait(for: "the end") { socket.isClosed }
        #expect(socket.closeCode == 1009)
    }

    @Test("are as strict as the real ones")
    func strict() throws {
        let server = try TestServer(["FYNLO_ECHO": "1"])
        for row in LimitsTests.violations where row.code != 1003 {
            let socket = try echoSocket(server)
            for frame in row.frames { socket.send(frame.bytes) }
            try server.wait(for: "the end of \(row.name)") { socket.isClosed }
            #expect(socket.closeCode == row.code, "\(row.name)")
        }
    }

    @Test("send a body back, up to FYNLO_MAX_BODY")
    func echoBody() throws {
        let server = try TestServer(["FYNLO_ECHO": "1", "FYNLO_MAX_BODY": "2000"])
        for body in [[], [0, 0xff, 0x0a], Array(repeating: 7, count: 2_000)] as [[UInt8]] {
            let answer = try server.request(.post, "/debug/echo", body: body)
            #expect(answer.status == 200)
            #expect(answer.body == body)
        }
        try expectProblem(try server.request(.post, "/debug/echo", body: Array(repeating: 7, count: 2_001)), 413)
        let chunked = try server.answer(
            toRaw: "POST /debug/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: z\r\n\r\n")
        #expect(chunked.body == Array("abcde".utf8))
        // RFC 9112 §6.3: a request that names no length has no body, and so no 411 is due (RFC 9110 §15.5.12).
        let unstated = try server.answer(toRaw: "POST /debug/echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(unstated.status == 200 && unstated.body.isEmpty)
        try expectProblem(try server.request(.get, "/debug/echo"), 426)
    }

    @Test("tell whether a body is JSON as the server reads it")
    func json() throws {
        let server = try TestServer(["FYNLO_ECHO": "1"])
        let type: HTTPHeaders = ["Content-Type": "application/json"]
        let rows: [(String, Bool)] = [
            ("{}", true), ("[1,-0.5e3,\"\\ud83c\\udf72\",null,true]", true), ("\"x\"", true), (" 1 ", true),
            ("", false), ("{", false), ("[1,]", false), ("01", false), ("\"\\ud800\"", false), ("nul", false),
            ("{} {}", false), ("\"\u{1}\"", false),
        ]
        for (text, isJSON) in rows {
            let answer = try server.request(.post, "/debug/json", headers: type, body: Array(text.utf8))
            #expect(answer.status == (isJSON ? 200 : 400), "\(text)")
        }
        let answer = try server.request(.post, "/debug/json", headers: type, body: [0x22, 0xff, 0x22])
        try expectProblem(answer, 400)
    }

    @Test("are not there without FYNLO_ECHO=1")
    func off() throws {
        let server = try TestServer()
        for path in ["/debug/echo", "/debug/json"] {
            try expectProblem(try server.request(.post, path, body: [1]), 404)
            let socket = try TestTablet(loop: server.loop, address: server.address, target: path)
            try server.wait(for: "an answer") { socket.upgrade != nil }
            #expect(socket.upgrade?.status == 404)
        }
    }
}
