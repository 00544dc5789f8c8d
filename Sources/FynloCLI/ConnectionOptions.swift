// Where to connect and as whom: what all subcommands have in common.

import FynloClient
import FynloCore
import FynloIO
import Glibc

/// The flags and variables of a connection.
struct ConnectionOptions {
    static let flags = ["--restaurant", "--url", "--client-type", "--token-file", "--user-id", "--ca-file"]

    static let help = """
        Options:
          --restaurant UUID       the restaurant
          --url URL               the server [FYNLO_URL, http://127.0.0.1:8000]; http and ws mean the same, as do https
                                  and wss
          --ca-file FILE          trust the authorities in this PEM file, instead of the system's
          --client-type TYPE      \(clientTypes) [management]
          --token-file FILE       the JWT; only its owner should be able to read the file (mode 0600)
          --user-id UUID          whose token it is: users.id of the database, not the token's sub

        Environment:
          FYNLO_TOKEN             the JWT, unless there is a --token-file
          FYNLO_USER_ID           instead of --user-id
          FYNLO_URL               instead of --url

        """

    private static let defaultURL = "http://127.0.0.1:8000"

    private static var clientTypes: String { ClientType.allCases.map(\.rawValue).joined(separator: ", ") }

    /// Whom to trust; `nil`: the system's authorities.
    let tls: TLSContext?
    private let tokenFile: String?
    private(set) var settings: Client.Settings

    /// Reads what is there; throws one sentence about what is missing or wrong. `name` is what the server sees in its
    /// diagnostics.
    init(_ arguments: Arguments, name: String) throws(UsageError) {
        guard let restaurantText = arguments["--restaurant"] else { throw UsageError("--restaurant UUID is missing.") }
        guard let restaurant = RestaurantID(restaurantText) else {
            throw UsageError("--restaurant takes a UUID, not \(restaurantText).")
        }
        let typeText = arguments["--client-type"] ?? ClientType.management.rawValue
        guard let type = ClientType(rawValue: typeText) else {
            throw UsageError("--client-type is one of \(ConnectionOptions.clientTypes), not \(typeText).")
        }
        let server: ServerURL
        do {
            server = try ServerURL(arguments["--url"] ?? Console.environment("FYNLO_URL") ?? "http://127.0.0.1:8000")
        } catch {
            throw UsageError(error.description)
        }
        guard let userText = arguments["--user-id"] ?? Console.environment("FYNLO_USER_ID"), !userText.isEmpty else {
            throw UsageError("Say whose token it is, with --user-id UUID or FYNLO_USER_ID (users.id of the database).")
        }
        guard let user = UserID(userText) else {
            throw UsageError("The user's id (--user-id, FYNLO_USER_ID) is a UUID, not \(userText).")
        }
        do throws(TLSError) {
            tls = try arguments["--ca-file"].map { path throws(TLSError) in try TLSContext(authorityPath: path) }
        } catch {
            throw UsageError("--ca-file: \(error)")
        }
        tokenFile = arguments["--token-file"]
        let token = try ConnectionOptions.readToken(file: tokenFile, isFirst: true)
        settings = Client.Settings(server: server, restaurant: restaurant, clientType: type, user: user, token: token)
        settings.clientVersion = "fynlo 0.1.0"
        // So that a connection takes the place of its own dead predecessor, and of nobody else's.
        settings.deviceID = "\(name)-\(ProcessSetup.randomBytes(8).hexadecimal)"
    }

    /// The token as the file now has it, for programs that renew it there; `nil` without a file, or a usable one.
    func rereadToken() -> String? {
        guard tokenFile != nil else { return nil }
        return try? ConnectionOptions.readToken(file: tokenFile, isFirst: false)
    }

    private static func readToken(file: String?, isFirst: Bool) throws(UsageError) -> String {
        var bytes: [UInt8]
        if let file {
            bytes = try read(file, warns: isFirst)
        } else if let token = Console.environment("FYNLO_TOKEN"), !token.isEmpty {
            bytes = Array(token.utf8)
        } else {
            throw UsageError("There is no token: set FYNLO_TOKEN, or name a --token-file.")
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
