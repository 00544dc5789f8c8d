import FynloCore
import FynloIO
import Testing

@testable import FynloServer

extension TestServer {
    /// Sends bytes as they are and reads the one response before the end of the connection.
    func answer(
        toRaw text: String, method: HTTPMethod = .get, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> HTTPResponse {
        var received = ByteBuffer(try raw(Array(text.utf8), sourceLocation: sourceLocation))
        var parser = HTTPResponseParser(limits: HTTPLimits())
        let response = try parser.next(&received, requestMethod: method)
        #expect(received.isEmpty, "one response and no more", sourceLocation: sourceLocation)
        return try #require(response, sourceLocation: sourceLocation)
    }
}

/// Checks that a response is a refusal as RFC 9457 and the contract want it; returns its body.
@discardableResult
func expectProblem(
    _ response: HTTPResponse, _ status: Int, code: String? = nil, _ comment: Comment? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> Document {
    #expect(response.status == status, comment, sourceLocation: sourceLocation)
    #expect(
        response.headers.first("content-type") == "application/problem+json", comment, sourceLocation: sourceLocation)
    #expect(response.headers.first("x-request-id") != nil, comment, sourceLocation: sourceLocation)
    let problem = try Document(response.body)
    #expect(problem["type"].string?.isEmpty == false, comment, sourceLocation: sourceLocation)
    #expect(problem["title"].string?.isEmpty == false, comment, sourceLocation: sourceLocation)
    #expect(problem["status"].integer == status, comment, sourceLocation: sourceLocation)
    #expect(problem["detail"].string?.isEmpty == false, comment, sourceLocation: sourceLocation)
    if let code { #expect(problem["code"].string == code, comment, sourceLocation: sourceLocation) }
    return problem
}
