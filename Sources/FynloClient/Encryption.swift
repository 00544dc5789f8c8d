// A client's TLS: one context for all connections to a server, made when it is first needed.

import FynloIO

/// Makes the TLS side of a server's connections, if its URL asks for one.
struct Encryption {
    private let server: ServerURL
    private var context: TLSContext?

    /// - Parameter context: the authorities to trust; `nil` for the system's.
    init(_ server: ServerURL, context: TLSContext?) {
        self.server = server
        self.context = context
    }

    /// The engine of a new connection; `nil` for a server without TLS.
    mutating func makeEngine() throws(TLSError) -> TLSEngine? {
        guard server.usesTLS else { return nil }
        if let context { return try TLSEngine(client: context, host: server.host) }
        let systems = try TLSContext()
        context = systems
        return try TLSEngine(client: systems, host: server.host)
    }
}
