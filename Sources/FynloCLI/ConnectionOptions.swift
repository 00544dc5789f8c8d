// Where to connect and as whom: the options shared by all subcommands that connect as a tablet.

import FynloClient
import FynloCore
import FynloIO

/// The flags and variables of a connection.
struct ConnectionOptions {
    static let flags = ServerOptions.flags + ["--restaurant", "--client-type", "--user-id"]

    static let help = """
        Options:
          --restaurant UUID       the restaurant
        \(ServerOptions.help)
          --client-type TYPE      \(clientTypes) [management]
          --user-id UUID          whose token it is: users.id of the database, not the token's sub

        Environment:
        \(ServerOptions.environmentHelp)
          FYNLO_USER_ID           instead of --user-id

        """

    private static var clientTypes: String { ClientType.allCases.map(\.rawValue).joined(separator: ", ") }

    private let server: ServerOptions
    private let token: String
    private(set) var settings: Client.Settings

    /// The certificate authorities to trust; `nil` for the system's own.
    var tls: TLSContext? { server.tls }

    /// Reads the flags and variables; throws one sentence about what is missing or wrong. `name` appears in the server's
    /// diagnostics.
    init(_ arguments: Arguments, name: String) throws(UsageError) {
        let restaurant = try arguments.restaurant()
        let type = try ConnectionOptions.clientType(arguments)
        let server = try ServerOptions(arguments)
        guard let user = try ConnectionOptions.user(arguments) else {
            throw UsageError("Say whose token it is, with --user-id UUID or FYNLO_USER_ID (users.id of the database).")
        }
        token = try server.requireToken()
        self.server = server
        settings = Client.Settings(server: server.server, restaurant: restaurant, clientType: type, user: user)
        settings.clientVersion = "fynlo \(fynloVersion)"
        // A name of its own, so that a new connection replaces this program's dead one and nobody else's.
        settings.deviceID = "\(name)-\(ProcessSetup.randomBytes(8).hexadecimal)"
    }

    static func clientType(_ arguments: Arguments) throws(UsageError) -> ClientType {
        let text = arguments["--client-type"] ?? ClientType.management.rawValue
        guard let type = ClientType(rawValue: text) else {
            throw UsageError("--client-type is one of \(clientTypes), not \(text).")
        }
        return type
    }

    /// The value of the flag, or of the variable; `nil` if neither is given.
    static func user(_ arguments: Arguments) throws(UsageError) -> UserID? {
        guard let text = arguments["--user-id"] ?? Console.environment("FYNLO_USER_ID"), !text.isEmpty else {
            return nil
        }
        guard let user = UserID(text) else {
            throw UsageError("The user's id (--user-id, FYNLO_USER_ID) is a UUID, not \(text).")
        }
        return user
    }

    /// The token source. It reads a new token as soon as another program has written it to the file.
    func tokens(loop: EventLoop) throws(UsageError) -> TokenSource {
        var refresh: TokenSource.Refresh?
        if server.hasTokenFile {
            refresh = { [server] current, reply in
                switch server.rereadToken() {
                case let token? where token != current?.compact: reply(.success(token))
                case _ where current.map { isEnding($0) } ?? false:
                    // The file may get a new token soon.
                    reply(.failure(.unreachable("The token file does not hold a new token yet.")))
                default:
                    reply(.failure(.refused("The token file holds no other token.")))
                }
            }
        }
        do {
            return try TokenSource(loop: loop, token: token, refresh: refresh)
        } catch {
            throw UsageError("\(server.tokenHolder) does not hold a token: a JWT with an expiry.")
        }
    }
}

/// True in the last minute of a token's life. Before that, nobody asks for another unless it was refused.
private func isEnding(_ token: HeldToken) -> Bool {
    let left = token.expiresAt.milliseconds - SystemClock.now.unixTime.milliseconds
    return left > 0 && .milliseconds(left) <= TokenRefresh.early
}
