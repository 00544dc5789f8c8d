// Pages for people: the console, the tablet, the API's reference and the server's front page. They use nothing but the public
// API. Their files are in console/, compiled in.

import FynloCore

/// Answers the pages' paths and `GET /console/assets/{asset}`. No token is asked for: the pages are the
/// same for everybody, and ask for one themselves.
enum ConsoleEndpoint {
    static let files = ConsoleFiles(EmbeddedFiles.all)

    /// A page of this program; a browser asks each time whether it is still the same.
    static func page(_ page: ConsolePage, _ request: HTTPRequest) -> HTTPResponse {
        answer(files.page(page), "no-cache", request)
    }

    /// A file of the pages. Its name changes with what is in it, so that it may be kept for ever.
    static func asset(_ name: String, _ request: HTTPRequest) -> Result<HTTPResponse, APIError> {
        guard let file = files.assets[name] else { return .failure(.noSuchAsset) }
        return .success(answer(file, "public, max-age=31536000, immutable", request))
    }

    /// A file with the fields that go with a page.
    static func answer(_ file: PublishedFile, _ caching: String, _ request: HTTPRequest) -> HTTPResponse {
        var response = file.response(to: request, caching: caching)
        response.headers.append("Content-Security-Policy", contentSecurityPolicy)
        response.headers.append("X-Content-Type-Options", "nosniff")
        response.headers.append("Referrer-Policy", "no-referrer")
        response.headers.append("Cross-Origin-Opener-Policy", "same-origin")
        response.headers.append("Cross-Origin-Resource-Policy", "same-origin")
        return response
    }

    /// Only what this server serves, no scripts or styles within pages, and no text made into HTML (Trusted Types). In
    /// `connect-src`, 'self' covers the WebSocket too (CSP 3 §6.7.2.8).
    static let contentSecurityPolicy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ].joined(separator: "; ")
}

extension APIError {
    /// The page at hand may be an older program's.
    fileprivate static let noSuchAsset = APIError(.notFound, "There is no such file; load the page anew.")
}
