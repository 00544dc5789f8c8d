// A response as a value: what a handler makes on the server, and what the client's parser returns.

/// One response. The encoder adds `Content-Length`, `Date` and the fields that keep or close the connection.
public struct HTTPResponse: Sendable, Equatable {
    /// Three digits, 100 to 999.
    public var status: Int
    /// Names as they were appended (lower-cased when parsed), values without control characters.
    public var headers: HTTPHeaders
    /// The body; empty if there is none. In answer to HEAD it is GET's body: its length is announced, its bytes are not sent.
    public var body: [UInt8]

    public init(status: Int, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// RFC 9110 §6.4.1: 1xx, 204 and 304 end with their head.
    static func hasNoBody(status: Int) -> Bool {
        status < 200 || status == 204 || status == 304
    }

    /// RFC 9110 §15: the reason phrase; empty for a status without a name.
    public static func reason(of status: Int) -> StaticString {
        switch status {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 425: "Too Early"
        case 426: "Upgrade Required"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: ""
        }
    }
}
