// The server, the authorities to trust and the token: the options shared by all subcommands that talk to a server.

import FynloClient
import FynloCore
import FynloIO
import Glibc

/// The flags and variables of a server.
struct ServerOptions {
    static let flags = ["--url", "--ca-file", "--token-file"]

    static let help = """
          --url URL               the server [FYNLO_URL, http://127.0.0.1:8000]; http and ws mean the same, as do https
                                  and wss
          --ca-file FILE          trust the authorities in this PEM file, instead of the system's
          --token-file FILE       the JWT; only its owner should be able to read the file (mode 0600)
        """

    static let environmentHelp = """
          FYNLO_TOKEN             the JWT, unless there is a --token-file
          FYNLO_URL               instead of --url
        """

    let server: ServerURL
    /// The file with the authorities of `tls`, unless they are the system's.
    let authorityPath: String?
    /// The authorities to trust; `nil` for the system's.
    let tls: TLSContext?
    /// The token, if one is given.
    let token: String?
    private let tokenFile: String?

    /// Reads the flags and variables; throws one sentence about what is wrong. `url` is one given as a word, not a flag.
    init(_ arguments: Arguments, url: String? = nil) throws(UsageError) {
        if url != nil, arguments["--url"] != nil { throw UsageError("The server's URL is given twice.") }
        do throws(ClientError) {
            let text = url ?? arguments["--url"] ?? Console.environment("FYNLO_URL") ?? "http://127.0.0.1:8000"
            server = try ServerURL(text)
        } catch {
            throw UsageError(error.description)
        }
        authorityPath = arguments["--ca-file"]
        do throws(TLSError) {
            tls = try arguments["--ca-file"].map { path throws(TLSError) in try TLSContext(authorityPath: path) }
        } catch {
            throw UsageError("--ca-file: \(error)")
        }
        tokenFile = arguments["--token-file"]
        token = try ServerOptions.readToken(file: tokenFile, isFirst: true)
    }

    /// The token; throws if there is none.
    func requireToken() throws(UsageError) -> String {
        guard let token else { throw UsageError("There is no token: set FYNLO_TOKEN, or name a --token-file.") }
        return token
    }

    /// True if the token is in a file, where it can be renewed.
    var hasTokenFile: Bool { tokenFile != nil }

    /// Where the token comes from, for use in sentences.
    var tokenHolder: String { tokenFile == nil ? "FYNLO_TOKEN" : "The token file" }

    /// The token now in the file, which another program may have renewed; `nil` without a file or a usable token.
    func rereadToken() -> String? {
        guard tokenFile != nil else { return nil }
        return try? ServerOptions.readToken(file: tokenFile, isFirst: false)
    }

    private static func readToken(file: String?, isFirst: Bool) throws(UsageError) -> String? {
        var bytes: [UInt8]
        if let file {
            bytes = try read(file, warns: isFirst)
        } else if let token = Console.environment("FYNLO_TOKEN"), !token.isEmpty {
            bytes = Array(token.utf8)
        } else {
            return nil
        }
        while let last = bytes.last, last <= 0x20 { bytes.removeLast() }
        guard !bytes.isEmpty, bytes.count <= 8_192, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            let holder = file == nil ? "FYNLO_TOKEN" : "The token file"
            throw UsageError("\(holder) does not hold a token: one line of visible characters.")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func read(_ path: String, warns: Bool) throws(UsageError) -> [UInt8] {
        let number = open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else {
            throw UsageError("The token file \(path) cannot be read: \(String(cString: strerror(errno))).")
        }
        let file = FileDescriptor(owning: number)
        var information = stat()
        if warns, fstat(file.rawValue, &information) == 0, information.st_mode & 0o077 != 0 {
            Console.note("Others can read the token file \(path); make it yours alone with chmod 600.")
        }
        guard let bytes = File.read(file.rawValue, limit: 16_384) else {
            throw UsageError("The token file \(path) cannot be read: \(String(cString: strerror(errno))).")
        }
        return bytes
    }
}
