// REST requests, one after the other, for commands that do nothing else meanwhile.

import FynloClient
import FynloCore
import FynloIO

/// Why a command failed.
struct CommandFailure: Error {
    let exitCode: Int32
    let sentence: String
}

/// Sends requests to a server with a token.
struct RESTClient {
    private let loop: EventLoop
    private let client: HTTPClient
    private let token: String

    init(_ options: ServerOptions) throws(UsageError) {
        token = try options.requireToken()
        do throws(SystemError) {
            loop = try EventLoop()
        } catch {
            throw UsageError(error.description)
        }
        var limits = HTTPLimits()
        // Enough for a page of a hundred orders with all their items.
        limits.bodyBytes = 64 << 20
        client = HTTPClient(
            loop: loop, server: options.server, tls: options.tls, timeout: .seconds(30), limits: limits)
    }

    /// Sends one request and waits for the response. Every status but 2xx is a failure.
    func request(
        _ method: HTTPMethod, _ path: String, headers: HTTPHeaders = [:], body: [UInt8] = []
    ) throws(CommandFailure) -> HTTPResponse {
        var headers = headers
        headers.append("Authorization", "Bearer \(token)")
        headers.append("Accept", "application/json")
        if !body.isEmpty { headers.append("Content-Type", "application/json") }
        var result: Result<HTTPResponse, ClientError>?
        client.request(method, path, headers: headers, body: body) { result = $0 }
        do throws(SystemError) {
            // The client has a deadline of its own.
            _ = try loop.run(until: { result != nil }, for: .seconds(60))
        } catch {
            throw CommandFailure(exitCode: ExitCode.unconnected, sentence: error.description)
        }
        switch result {
        case .success(let response):
            guard (200...299).contains(response.status) else { throw CommandFailure(response) }
            return response
        case .failure(let error):
            throw CommandFailure(exitCode: ExitCode.unconnected, sentence: error.description)
        case nil:
            throw CommandFailure(exitCode: ExitCode.unconnected, sentence: "The server did not answer.")
        }
    }
}

extension CommandFailure {
    /// What an error response says: the sentence in its problem+json (RFC 9457), or its status.
    init(_ response: HTTPResponse) {
        let problem = JSONRecord(response.body)
        let reason = problem?.string("detail") ?? problem?.string("title") ?? "The server answered with an error."
        self.init(
            exitCode: response.status == 401 || response.status == 403 ? ExitCode.unconnected : ExitCode.refused,
            sentence: "\(reason) (HTTP \(response.status))")
    }
}

extension String {
    /// The text as a value in a query: everything but unreserved characters is escaped (RFC 3986 §2.3).
    var queryValue: String {
        var text = ""
        for byte in utf8 {
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || [0x2d, 0x2e, 0x5f, 0x7e].contains(byte)
            if isPlain {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                text += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return text
    }
}
