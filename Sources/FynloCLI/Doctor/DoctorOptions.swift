// What the doctor examines, and how patiently.

import FynloClient
import FynloCore
import FynloIO

struct DoctorOptions {
    static let flags =
        ServerOptions.flags + [
            "--restaurant", "--user-id", "--client-type", "--timeout", "--pings", "--idle", "--origin",
        ]

    var server: ServerURL
    /// A PEM file; `nil`: the system's authorities.
    var authorityPath: String?
    /// The upgrade's path names it, whether it exists or not.
    var restaurant: RestaurantID?
    var user: UserID?
    var token: String?
    var clientType = ClientType.management
    /// Of each thing that is waited for.
    var timeout = Duration.seconds(5)
    var pings = 5
    /// How long to keep silent; `nil`: not at all.
    var idle: Duration?
    /// Sent with the upgrade, as a page's.
    var origin: String?

    init(server: ServerURL) {
        self.server = server
    }

    init(_ arguments: Arguments) throws(UsageError) {
        guard arguments.words.count <= 1 else {
            throw UsageError("Write fynlo doctor [URL] [options]; see fynlo doctor --help.")
        }
        let options = try ServerOptions(arguments, url: arguments.words.first)
        self.init(server: options.server)
        authorityPath = options.authorityPath
        restaurant = arguments["--restaurant"] == nil ? nil : try arguments.restaurant()
        user = try ConnectionOptions.user(arguments)
        token = options.token
        clientType = try ConnectionOptions.clientType(arguments)
        timeout = try arguments.duration("--timeout") ?? timeout
        pings = try arguments.integer("--pings", in: 1...100) ?? pings
        idle = try arguments.duration("--idle")
        origin = arguments["--origin"]
    }

    /// `nil` unless all three are known.
    var identity: DoctorIdentity? {
        guard let restaurant, let user, let token else { return nil }
        return DoctorIdentity(
            restaurant: restaurant, user: user, token: token,
            device: "fynlo-doctor-\(ProcessSetup.randomBytes(8).hexadecimal)")
    }

    var webSocketPath: String {
        let restaurant = restaurant?.description ?? "00000000-0000-4000-8000-000000000000"
        return "\(server.pathPrefix)/api/v1/websocket/ws/\(clientType.rawValue)/\(restaurant)"
    }
}
