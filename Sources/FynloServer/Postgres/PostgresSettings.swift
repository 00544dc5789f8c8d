// The address of Postgres: DATABASE_URL, parsed by libpq, and the settings of every connection of a server.

import CPostgres
import FynloCore
import FynloIO

/// The parameters of a connection.
struct PostgresSettings: Equatable {
    /// libpq's keywords and values.
    private var parameters: [String: String]
    /// FYNLO_QUERY_TIMEOUT: Postgres cancels a statement that runs longer.
    let queryTimeout: Duration

    /// How long connecting may take in all.
    static let connectTimeout = Duration.seconds(5)

    /// Reads a URL or a conninfo string; the error is a sentence that does not contain the secret.
    init(url: String, queryTimeout: Duration, role: Role = .server) throws(ConfigError) {
        guard url.hasPrefix("postgres://") || url.hasPrefix("postgresql://") || url.contains("=") else {
            throw ConfigError("DATABASE_URL has to begin with postgresql://, as in postgresql://user@host/database.")
        }
        guard let options = PQconninfoParse(url, nil) else {
            // libpq's own message may quote the URL with its password.
            throw ConfigError(
                "DATABASE_URL cannot be read; write it as postgresql://user:password@host:port/database.")
        }
        defer { PQconninfoFree(options) }
        parameters = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { parameters[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        self.queryTimeout = queryTimeout
        parameters["application_name"] = parameters["application_name"] ?? "fynlo-server"
        parameters["client_encoding"] = "UTF8"
        // A peer that vanished is noticed by the kernel within ten seconds.
        parameters["keepalives_idle"] = parameters["keepalives_idle"] ?? "10"
        parameters["keepalives_interval"] = parameters["keepalives_interval"] ?? "5"
        parameters["keepalives_count"] = parameters["keepalives_count"] ?? "3"
        parameters["tcp_user_timeout"] = parameters["tcp_user_timeout"] ?? "10000"
        switch role {
        case .server:
            let milliseconds = max(1, queryTimeout.inMilliseconds)
            // A lock times out slightly before the statement, so that the error names the cause.
            add(option: "statement_timeout=\(milliseconds)")
            add(option: "lock_timeout=\(max(1, milliseconds * 4 / 5))")
            add(option: "idle_in_transaction_session_timeout=\(milliseconds)")
            // This setting tells the triggers a server's own writes from those of other programs.
            add(option: "fynlo.server=on")
        case .tool:
            parameters["connect_timeout"] = parameters["connect_timeout"] ?? "5"
        }
    }

    /// What a connection is for.
    enum Role {
        /// The server's own traffic: bounded in time, recognised by the triggers.
        case server
        /// A subcommand without a time limit, such as a migration.
        case tool
    }

    private mutating func add(option: String) {
        let others = parameters["options"].map { $0 + " " } ?? ""
        parameters["options"] = others + "-c " + option
    }

    /// The host names to resolve before connecting, because libpq would block on them. A URL may list several.
    var hostsToResolve: [String] {
        guard parameters["hostaddr"] == nil else { return [] }
        return hosts.filter { host in
            !host.isEmpty && !host.hasPrefix("/") && SocketAddress(host: host, port: 0) == nil
        }
    }

    private var hosts: [String] {
        (parameters["host"] ?? "").split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }

    /// The settings with every address of the resolved hosts, to be tried in turn. Each host's addresses begin with number
    /// `start`, since an address that does not answer uses up the time. The names stay, because certificates are checked
    /// against them. A host without an address is left out; `nil` if no host has one.
    func resolved(to addresses: [String: [SocketAddress]], startingAt start: Int = 0) -> PostgresSettings? {
        let ports = (parameters["port"] ?? "").split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        var targets: [(host: String, address: String, port: String)] = []
        for (index, host) in hosts.enumerated() {
            let port = ports.indices.contains(index) ? ports[index] : ports.first ?? ""
            // An empty address stands for the host itself: a path, or an address already.
            let found = addresses[host].map { $0.map(\.hostText) } ?? [""]
            for offset in found.indices { targets.append((host, found[(start + offset) % found.count], port)) }
        }
        guard !targets.isEmpty else { return nil }
        var copy = self
        copy.parameters["host"] = targets.map(\.host).joined(separator: ",")
        copy.parameters["hostaddr"] = targets.map(\.address).joined(separator: ",")
        copy.parameters["port"] = targets.map(\.port).joined(separator: ",")
        return copy
    }

    /// Lends keywords and values as libpq's NULL-terminated arrays.
    func withParameters<Result>(
        _ body: (UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<UnsafePointer<CChar>?>) -> Result
    ) -> Result {
        var text = ByteBuffer()
        var starts: [(Int, Int)] = []
        for (keyword, value) in parameters {
            let start = text.count
            text.append(keyword)
            text.append(0 as UInt8)
            starts.append((start, text.count))
            text.append(value)
            text.append(0 as UInt8)
        }
        return text.bytes().withUnsafeBytes { bytes in
            // The pointers live as long as `bytes`, which outlives the call.
            let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            let keywords: [UnsafePointer<CChar>?] = starts.map { base?.advanced(by: $0.0) } + [nil]
            let values: [UnsafePointer<CChar>?] = starts.map { base?.advanced(by: $0.1) } + [nil]
            return keywords.withUnsafeBufferPointer { keywords in
                values.withUnsafeBufferPointer { values in
                    guard let first = keywords.baseAddress, let second = values.baseAddress else {
                        preconditionFailure("the arrays end with nil and are never empty")
                    }
                    return body(first, second)
                }
            }
        }
    }
}
