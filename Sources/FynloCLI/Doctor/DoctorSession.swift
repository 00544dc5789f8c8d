// The doctor's WebSocket: it speaks like a tablet and keeps every message.

import FynloCore
import FynloIO

/// What a tablet authenticates with.
struct DoctorIdentity {
    let restaurant: RestaurantID
    let user: UserID
    let token: String
    /// One device for all connections: a newer one replaces the older one and takes no second place.
    let device: String
}

/// One WebSocket, from the upgrade on.
final class DoctorSession {
    let socket: DoctorSocket
    /// The response to the upgrade.
    private(set) var response: HTTPResponse?
    /// Why the response is unreadable or wrong.
    private(set) var problem: String?
    private(set) var isOpen = false
    private(set) var messages: [JSONRecord] = []
    /// The server's close frame.
    private(set) var closeCode: UInt16?
    private(set) var closeReason = ""

    private let loop: EventLoop
    private let key: String
    private var parser = HTTPResponseParser(limits: HTTPLimits())
    private var webSocket: WebSocketConnection

    /// Asks for the upgrade. `headers` are added to the usual ones.
    init(
        loop: EventLoop, socket: DoctorSocket, authority: String, path: String, headers: HTTPHeaders = [:]
    ) {
        self.loop = loop
        self.socket = socket
        key = WebSocketHandshake.makeKey(random: ProcessSetup.randomBytes(16))
        var generator = SystemGenerator()
        webSocket = WebSocketConnection(
            role: .client(maskSeed: generator.next()), maximumMessageBytes: 1 << 20, closeTimeout: .seconds(5))
        var all = headers
        all.append("Host", authority)
        for (name, value) in WebSocketHandshake.requestHeaders(key: key, protocols: ["fynlo.v1"]) {
            all.append(name, value)
        }
        var request = ByteBuffer()
        HTTPEncoder.encodeRequest(method: .get, target: path, headers: all, body: [], into: &request)
        socket.send(request)
    }

    /// True if nothing more will arrive.
    var hasEnded: Bool { closeCode != nil || problem != nil || socket.end != nil }

    /// Processes what has arrived. Call it after every turn.
    func look() {
        var output = ByteBuffer()
        if !isOpen, problem == nil, response == nil { readResponse() }
        guard isOpen else { return }
        while let event = webSocket.next(&socket.input, now: loop.now, output: &output) {
            switch event {
            case .message(let message):
                let bytes = message.withPayload(in: socket.input) { [UInt8](copying: $0) }
                guard let record = JSONRecord(bytes) else { continue }
                messages.append(record)
                if record.string("type") == "ping" { say("pong", "{}") }
            case .closing(let code, let reason):
                closeCode = code ?? WebSocketCloseCode.noStatusReceived
                closeReason = reason
            case .failed(let code, let reason):
                closeCode = code
                closeReason = reason
            case .ping, .pong: break
            }
        }
        if !output.isEmpty { socket.send(output) }
    }

    private func readResponse() {
        do throws(HTTPError) {
            response = try parser.next(&socket.input, requestMethod: .get)
            if response == nil, socket.end != nil { response = try parser.endOfInput() }
            guard let response, response.status == 101 else { return }
            do throws(WebSocketError) {
                _ = try WebSocketHandshake.verify(response, key: key, protocols: ["fynlo.v1"])
                isOpen = true
            } catch {
                problem = error.sentence
            }
        } catch {
            problem = error.detail
        }
    }

    /// Sends a message; `data` is a JSON object.
    func say(_ type: String, _ data: String) {
        guard isOpen else { return }
        var output = ByteBuffer()
        webSocket.sendText(to: &output) { $0.append("{\"type\":\"\(type)\",\"data\":\(data)}") }
        socket.send(output)
    }

    func authenticate(_ identity: DoctorIdentity, type: ClientType, lastSequence: EventSequence? = nil) {
        var data = ByteBuffer("{\"token\":")
        data.append(jsonString: identity.token)
        data.append(",\"user_id\":\"\(identity.user)\",\"restaurant_id\":\"\(identity.restaurant)\"")
        data.append(",\"client_type\":\"\(type.rawValue)\"")
        data.append(",\"client_version\":\"fynlo doctor \(fynloVersion)\",\"device_id\":\"\(identity.device)\"")
        if let lastSequence { data.append(",\"last_seq\":\(lastSequence)") }
        data.append("}")
        say("authenticate", data.withReadable { String(validating: $0) ?? "{}" })
    }

    /// The messages of one type.
    func messages(_ type: String) -> [JSONRecord] {
        messages.filter { $0.string("type") == type }
    }

    /// Sends a close frame and closes.
    func close() {
        var output = ByteBuffer()
        if isOpen { webSocket.close(code: WebSocketCloseCode.normal, reason: "", now: loop.now, output: &output) }
        if !output.isEmpty { socket.send(output) }
        socket.close()
    }
}
