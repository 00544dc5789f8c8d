// The public keys of a token issuer, as it publishes them (RFC 7517, 7518 §6). They are parsed strictly, and selected by
// algorithm and name.

/// A public key that can check signatures of one algorithm.
public struct JSONWebKey: Equatable, Sendable {
    /// The numbers of a key, big-endian.
    public enum Material: Equatable, Sendable {
        /// A point on P-256, 32 bytes each: checks ES256.
        case ellipticCurve(x: [UInt8], y: [UInt8])
        /// Checks RS256.
        case rsa(modulus: [UInt8], exponent: [UInt8])
    }

    /// `kid`: the name by which a token refers to the key.
    public let id: String?
    public let material: Material

    public init(id: String?, material: Material) {
        self.id = id
        self.material = material
    }

    public var algorithm: TokenAlgorithm {
        switch material {
        case .ellipticCurve: .es256
        case .rsa: .rs256
        }
    }
}

/// Why a key set cannot be used.
public enum JSONWebKeySetError: Error, Equatable, Sendable {
    /// Not a JSON object with an array `keys` of objects.
    case malformed
    /// A key for a supported algorithm has a missing or invalid member; `index` counts from 0.
    case badKey(index: Int, reason: String)
    /// No key in it checks ES256 or RS256.
    case noUsableKey
    /// Two keys have the same `kid`.
    case duplicateID(String)

    /// Completes a sentence that begins with the file's name.
    public var reason: String {
        switch self {
        case .malformed: "is not a JSON Web Key Set: {\"keys\": [{…}]}"
        case .badKey(let index, let reason): "has a key that cannot be used, number \(index + 1): \(reason)"
        case .noUsableKey: "holds no key for ES256 (EC, P-256) or RS256 (RSA)"
        case .duplicateID(let id): "has two keys with the kid \(id)"
        }
    }
}

/// RFC 7517 §5.
public enum JSONWebKeySet {
    /// The smallest RSA key that RFC 7518 §3.3 allows, in bits.
    public static let minimumRSABits = 2_048

    /// Reads a key set. Keys for other uses or algorithms are skipped, as §5 requires; an invalid key for a supported algorithm
    /// is an error.
    public static func parse(_ text: Span<UInt8>) throws(JSONWebKeySetError) -> [JSONWebKey] {
        guard String(validating: text) != nil else { throw .malformed }
        var list: JSONValue?
        do {
            try JSON.scanObject(text) { key, value in
                if JSON.equals(key, "keys", in: text) { list = value }
            }
        } catch {
            throw .malformed
        }
        guard let list, list.kind == .array else { throw .malformed }
        var elements: [JSONValue] = []
        do {
            try JSON.scanElements(of: list, in: text) { elements.append($0) }
        } catch {
            throw .malformed
        }
        var keys: [JSONWebKey] = []
        for (index, element) in elements.enumerated() {
            guard let key = try parseKey(element, index, text) else { continue }
            if let id = key.id, keys.contains(where: { $0.id == id }) { throw .duplicateID(id) }
            keys.append(key)
        }
        guard !keys.isEmpty else { throw .noUsableKey }
        return keys
    }

    /// One key; `nil` if it is for another use or algorithm.
    private static func parseKey(
        _ element: JSONValue, _ index: Int, _ text: Span<UInt8>
    ) throws(JSONWebKeySetError) -> JSONWebKey? {
        guard element.kind == .object else { throw .malformed }
        var members: [String: String] = [:]
        do {
            try JSON.scanMembers(of: element, in: text) { key, value in
                if let name = JSON.string(key, in: text), let string = JSON.string(value, in: text) {
                    members[name] = string
                }
            }
        } catch {
            throw .malformed
        }
        if let use = members["use"], use != "sig" { return nil }
        func number(_ name: String) throws(JSONWebKeySetError) -> [UInt8] {
            guard let encoded = members[name], let bytes = Base64.decode(encoded, as: .url), !bytes.isEmpty else {
                throw .badKey(index: index, reason: "\(name) is missing or not base64url")
            }
            return bytes
        }
        switch (members["kty"], members["crv"], members["alg"] ?? "") {
        case ("EC", "P-256", ""), ("EC", "P-256", "ES256"):
            let (x, y) = (try number("x"), try number("y"))
            guard x.count == 32, y.count == 32 else {
                throw .badKey(index: index, reason: "x and y of P-256 have 32 bytes each")
            }
            return JSONWebKey(id: members["kid"], material: .ellipticCurve(x: x, y: y))
        case ("RSA", _, ""), ("RSA", _, "RS256"):
            let (modulus, exponent) = (try number("n"), try number("e"))
            let significant = modulus.drop { $0 == 0 }
            let bits = significant.count * 8 - (significant.first?.leadingZeroBitCount ?? 0)
            guard bits >= minimumRSABits else {
                throw .badKey(index: index, reason: "RS256 needs at least \(minimumRSABits) bits (RFC 7518 §3.3)")
            }
            return JSONWebKey(id: members["kid"], material: .rsa(modulus: modulus, exponent: exponent))
        case (nil, _, _):
            throw .badKey(index: index, reason: "kty is missing")
        default:
            return nil
        }
    }
}
