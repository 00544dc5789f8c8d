import FynloCore
import FynloIO
import TestSupport
import Testing

@testable import FynloServer

/// A server that trusts issuers by their public keys alone.
private struct JWKSServer {
    let folder: TestFolder
    let server: TestServer
    let restaurant: RestaurantID
    let user: TestUser

    init(_ issuers: [TestIssuer], variables: [String: String] = ["FYNLO_JWT_SECRET": ""]) throws {
        folder = try TestFolder()
        let path = try folder.write(JWKSServer.keySet(issuers), to: "keys.json")
        server = try TestServer(variables.merging(["FYNLO_JWT_JWKS_FILE": path]) { $1 })
        restaurant = try server.database.addRestaurant()
        user = try server.database.addUser(.employee, at: restaurant)
    }

    static func keySet(_ issuers: [TestIssuer]) -> String {
        #"{"keys":[\#(issuers.map(\.jwk).joined(separator: ","))]}"#
    }

    func token(by issuer: TestIssuer, keyID: String? = nil, expiresIn seconds: Int64 = 3_600) throws -> String {
        let end = UnixTime(milliseconds: SystemClock.now.unixTime.milliseconds + seconds * 1_000)
        return try issuer.token(subject: user.subject, expiresAt: end, keyID: keyID)
    }

    /// Does the server let in who holds this token, as a tablet and as a reader of the menu alike?
    func accepts(_ token: String) throws -> Bool {
        let tablet = try server.tablet(at: restaurant)
        defer { tablet.close() }
        tablet.authenticate(user, at: restaurant, token: token)
        try server.wait(for: "an answer") { !tablet.messages.isEmpty }
        let response = try server.request(.get, "/api/v1/menu?restaurant_id=\(restaurant)", token: token)
        if tablet.messages[0]["type"].string == "authenticated" {
            #expect(response.status == 200)
            return true
        }
        #expect(tablet.messages[0]["data"]["code"].string == "invalid_token")
        #expect(response.status == 401)
        return false
    }

    /// What becomes of a server with this key set.
    func reload(_ text: String) throws {
        try folder.write(text, to: "keys.json")
        server.server.reload()
    }
}

@Suite("Tokens of an issuer with public keys")
struct JWKSServerTests {
    private static let algorithms: [TokenAlgorithm] = [.es256, .rs256]

    @Test("lets in who has a token signed by a key of the set", arguments: algorithms)
    func accepts(algorithm: TokenAlgorithm) throws {
        let (one, two) = (try TestIssuer(algorithm, id: "one"), try TestIssuer(algorithm, id: "two"))
        let jwks = try JWKSServer([one, two])
        #expect(try jwks.accepts(try jwks.token(by: one)))
        #expect(try jwks.accepts(try jwks.token(by: two)))
    }

    @Test("refuses a token that names another key, no key, or one that nobody has", arguments: algorithms)
    func refuses(algorithm: TokenAlgorithm) throws {
        let (one, two) = (try TestIssuer(algorithm, id: "one"), try TestIssuer(algorithm, id: "two"))
        let jwks = try JWKSServer([one, two])
        for keyID in ["two", "three", "ONE", ""] {
            #expect(try !jwks.accepts(try jwks.token(by: one, keyID: keyID)), "\(keyID)")
        }
        let stranger = try TestIssuer(algorithm, id: "one")
        #expect(try !jwks.accepts(try jwks.token(by: stranger)))
        #expect(try !jwks.accepts(try jwks.token(by: one, expiresIn: -31)))
    }

    @Test("refuses a token of one algorithm that names the key of another")
    func otherAlgorithm() throws {
        let (elliptic, rsa) = (try TestIssuer(.es256, id: "ec"), try TestIssuer(.rs256, id: "rsa"))
        let jwks = try JWKSServer([elliptic, rsa])
        #expect(try jwks.accepts(try jwks.token(by: elliptic)))
        #expect(try jwks.accepts(try jwks.token(by: rsa)))
        #expect(try !jwks.accepts(try jwks.token(by: elliptic, keyID: "rsa")))
        #expect(try !jwks.accepts(try jwks.token(by: rsa, keyID: "ec")))
    }

    @Test("never takes a public key for the secret of HS256, nor a token without a signature")
    func confusion() throws {
        let issuer = try TestIssuer(.rs256, id: "one")
        let jwks = try JWKSServer([issuer])
        let pem = try issuer.publicKeyPEM()
        for secret in [pem, Array(pem.dropLast()), Array(issuer.jwk.utf8)] {
            #expect(try !jwks.accepts(jwks.user.token(secret: secret)))
        }
        let parts = try jwks.token(by: issuer).split(separator: ".")
        let none = Base64.encode(Array(#"{"alg":"none","typ":"JWT"}"#.utf8), as: .url)
        #expect(try !jwks.accepts("\(none).\(parts[1])."))
        #expect(try !jwks.accepts("\(parts[0]).\(parts[1])."))
        #expect(try !jwks.accepts(jwks.user.token()), "a secret that this server does not have")
    }

    @Test("takes tokens of its own secret beside those of the issuer")
    func beside() throws {
        let issuer = try TestIssuer(.es256, id: "one")
        let jwks = try JWKSServer([issuer], variables: [:])
        #expect(try jwks.accepts(jwks.user.token()))
        #expect(try jwks.accepts(try jwks.token(by: issuer)))
    }

    @Test("HUP brings new keys and takes old ones away; who is in stays in")
    func reload() throws {
        let (old, new) = (try TestIssuer(.es256, id: "old"), try TestIssuer(.rs256, id: "new"))
        let jwks = try JWKSServer([old])
        let (oldToken, newToken) = (try jwks.token(by: old), try jwks.token(by: new))
        let tablet = try jwks.server.tablet(at: jwks.restaurant)
        tablet.authenticate(jwks.user, at: jwks.restaurant, token: oldToken)
        try jwks.server.wait(for: "authenticated") { tablet.messages.count == 1 }
        #expect(try !jwks.accepts(newToken))
        try jwks.reload(JWKSServer.keySet([old, new]))
        #expect(try jwks.accepts(oldToken) && jwks.accepts(newToken))
        try jwks.reload(JWKSServer.keySet([new]))
        #expect(try !jwks.accepts(oldToken) && jwks.accepts(newToken))
        tablet.say("{\"type\":\"reauth\",\"data\":{\"token\":\"\(newToken)\"}}")
        try jwks.server.wait(for: "the new token") { tablet.messages.count == 2 }
        #expect(tablet.messages.allSatisfy { $0["type"].string == "authenticated" })
    }

    @Test("keeps the old keys when the new ones cannot be used", arguments: ["", "{", #"{"keys":[]}"#])
    func badReload(text: String) throws {
        let issuer = try TestIssuer(.es256, id: "one")
        let jwks = try JWKSServer([issuer])
        try jwks.reload(text)
        #expect(try jwks.accepts(try jwks.token(by: issuer)))
    }

    @Test(
        "does not start with a key set that cannot be used, and says so in one sentence",
        arguments: [
            (nil, "cannot be read"), ("", "is not a JSON Web Key Set"), ("rubbish", "is not a JSON Web Key Set"),
            (#"{"keys":[]}"#, "holds no key"),
            (
                #"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#,
                "has a key that cannot be used, number 1: x and y of P-256 have 32 bytes each"
            ),
        ] as [(String?, String)])
    func badStart(text: String?, reason: String) throws {
        let folder = try TestFolder()
        let path = folder.path + "/keys.json"
        if let text { try folder.write(text, to: "keys.json") }
        let error = #expect(throws: ConfigError.self) { _ = try TestServer(["FYNLO_JWT_JWKS_FILE": path]) }
        let sentence = try #require(error?.description)
        #expect(sentence.hasPrefix("FYNLO_JWT_JWKS_FILE: \(path) \(reason)") && sentence.hasSuffix("."))
        #expect(sentence.split(separator: "\n").count == 1)
    }
}
