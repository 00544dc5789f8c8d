// A file that is compiled into the program and sent as it is: a page, an asset, a document.

import FynloCore

/// A file with its media type and entity tag.
struct PublishedFile: Sendable {
    let body: [UInt8]
    let mediaType: String
    /// A strong validator, in its quotes: of the bytes, so that all nodes of one version give the same one.
    let entityTag: String

    init(_ body: [UInt8], _ mediaType: String) {
        self.body = body
        self.mediaType = mediaType
        entityTag = "\"\(SHA1.digest(body.span).hexadecimal)\""
    }

    /// The text of a compiled-in file; there must be one with this name.
    static func text(of name: String) -> String {
        guard let file = EmbeddedFiles.all.first(where: { $0.name == name }) else {
            preconditionFailure("\(name) is compiled in")
        }
        return file.text
    }

    /// The response to a request: 304 if the client has the file. `caching` is the Cache-Control field.
    func response(to request: HTTPRequest, caching: String) -> HTTPResponse {
        let isFresh = request.holds(entityTag: entityTag)
        var response = HTTPResponse(status: isFresh ? 304 : 200, body: isFresh ? [] : body)
        if !isFresh { response.headers.append("Content-Type", mediaType) }
        response.headers.append("Cache-Control", caching)
        response.headers.append("ETag", entityTag)
        return response
    }
}
