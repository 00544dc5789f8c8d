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
    /// A PEM file of authorities; `nil` for the system's.
    var authorityPath: String?
    /// The restaurant in the upgrade's path, whether or not it exists.
    var restaurant: RestaurantID?
    var user: UserID?
    var token: String?
    var clientType = ClientType.management
    /// How long to wait for each answer.
    var timeout = Duration.seconds(5)
    var pings = 5
    /// How long to stay silent; `nil` to skip that step.
    var idle: Duration?
    /// The Origin to send with the upgrade, as a browser would.
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

    /// The identity to authenticate with; `nil` unless all three parts are known.
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
