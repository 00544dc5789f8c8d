// token --user EMAIL [--ttl 1h]: makes a token for tests and administrators, signed with FYNLO_JWT_SECRET.

import FynloCore
import FynloIO

enum TokenCommand {
    static func run(_ arguments: [String]) throws -> Int32 {
        var email: String?
        var lifetime = Duration.seconds(3_600)
        var rest = arguments[...]
        while let flag = rest.popFirst() {
            switch (flag, rest.popFirst()) {
            case ("--user", .some(let value)): email = value
            case ("--ttl", .some(let value)):
                guard let duration = Duration(text: value), duration >= .seconds(1) else {
                    throw UsageError("--ttl takes a duration such as 15m, 1h or 7d, not \(value).")
                }
                lifetime = duration
            default: throw UsageError("Write fynlo-server token --user EMAIL [--ttl 1h].")
            }
        }
        guard let email else { throw UsageError("Write fynlo-server token --user EMAIL [--ttl 1h].") }
        let environment = try ProcessEnvironment.take()
        guard let secret = environment["FYNLO_JWT_SECRET"], !secret.isEmpty else {
            throw ConfigError("FYNLO_JWT_SECRET is not set; tokens are signed with it.")
        }
        let session = try PostgresSession(try Config.postgres(environment: environment, role: .tool))
        let found = try session.query("select supabase_id, is_active from users where email = $1", [.text(email)]).get()
        guard let row = found.first, let subject = row.string(0) else {
            printError("There is no user with the email \(email).")
            return ExitCode.failed
        }
        if row.boolean(1) == false { printError("The user \(email) is inactive: the token will be refused.") }
        let now = SystemClock.now.unixTime
        printOut(
            makeToken(
                subject: subject, expiresAt: now.seconds + lifetime.components.seconds, issuedAt: now.seconds,
                audience: environment["FYNLO_JWT_AUDIENCE"], issuer: environment["FYNLO_JWT_ISSUER"],
                secret: Array(secret.utf8)) + "\n")
        return ExitCode.done
    }

    /// A token in the compact form, signed with HS256. Times are seconds since 1970.
    static func makeToken(
        subject: String, expiresAt: Int64, issuedAt: Int64? = nil, audience: String? = nil, issuer: String? = nil,
        secret: [UInt8]
    ) -> String {
        var claims = ByteBuffer()
        claims.append("{\"sub\":")
        claims.append(jsonString: subject)
        claims.append(",\"exp\":")
        claims.append(decimal: expiresAt)
        if let issuedAt {
            claims.append(",\"iat\":")
            claims.append(decimal: issuedAt)
        }
        for (name, value) in [("aud", audience), ("iss", issuer)] {
            guard let value, !value.isEmpty else { continue }
            claims.append(",\"\(name)\":")
            claims.append(jsonString: value)
        }
        claims.append("}")
        let header = Array("{\"alg\":\"HS256\",\"typ\":\"JWT\"}".utf8)
        let signed = Base64.encode(header, as: .url) + "." + Base64.encode(claims.bytes(), as: .url)
        let signature = Digest.hmacSHA256(key: secret, message: Array(signed.utf8))
        return signed + "." + Base64.encode(signature, as: .url)
    }
}
