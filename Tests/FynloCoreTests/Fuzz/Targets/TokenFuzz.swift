// Tokens, keys and the encodings within. Input: a byte that says what the rest is, and how it is asked for.

import FynloCore

/// Believes every signature, or none; the cryptography is not what is fuzzed.
private struct StubKeys: TokenSignatureChecking {
    let believes: Bool

    func isValid(
        signature: [UInt8], of message: Span<UInt8>, algorithm: TokenAlgorithm, keyID: String?
    ) -> Bool {
        believes
    }
}

func fuzzToken(_ input: [UInt8]) throws(FuzzFailure) {
    var input = FuzzInput(input)
    let flags = input.byte()
    let rest = input.rest()
    switch flags & 3 {
    case 0:
        guard let text = String(validating: rest.span) else { return }
        try checkToken(text, flags)
    case 1:
        // Header, payload and signature in plain text, a line each: what the fuzzer can see through.
        let lines = rest.split(separator: UInt8(ascii: "\n"), maxSplits: 2, omittingEmptySubsequences: false)
        try checkToken(lines.map { Base64.encode(Array($0), as: .url) }.joined(separator: "."), flags)
    case 2:
        try checkKeySet(rest)
    default:
        guard let text = String(validating: rest.span) else { return }
        try checkEncodings(text)
    }
}

private func checkToken(_ text: String, _ flags: UInt8) throws(FuzzFailure) {
    var policy = TokenPolicy()
    if flags & 4 != 0 { policy.audience = "authenticated" }
    if flags & 8 != 0 { policy.issuer = "https://issuer.example/auth/v1" }
    let now = UnixTime(milliseconds: flags & 16 == 0 ? 1_769_882_645_123 : 0)
    do {
        let token = try AccessToken.verify(text, keys: StubKeys(believes: true), policy: policy, now: now)
        try require(text.utf8.count <= AccessToken.maximumBytes, "a token within its limit")
        try require(!token.subject.isEmpty, "a token speaks for somebody")
        let end = token.endOfUse(acceptedAt: now, leeway: policy.leeway)
        try require(end > now, "a token that is accepted can be used")
        try require(token.expiresAt <= UnixTime(milliseconds: 253_402_300_799_999), "times up to the year 9999")
        try require(token.expiresAt.rfc3339.utf8.count == 24, "a time that can be told")
        let again = try? AccessToken.verify(text, keys: StubKeys(believes: true), policy: policy, now: now)
        try require(again == token, "the same token, the same answer")
    } catch let error as FuzzFailure {
        throw error
    } catch {
        return
    }
    let believed = try? AccessToken.verify(text, keys: StubKeys(believes: false), policy: policy, now: now)
    try require(believed == nil, "no token without its signature")
}

private func checkKeySet(_ text: [UInt8]) throws(FuzzFailure) {
    let keys: [JSONWebKey]
    do {
        keys = try JSONWebKeySet.parse(text.span)
    } catch {
        try require(!error.reason.isEmpty, "errors are sentences")
        return
    }
    try require(!keys.isEmpty, "a key set has keys")
    let ids = keys.compactMap(\.id)
    try require(Set(ids).count == ids.count, "names are unique")
    for key in keys {
        switch key.material {
        case .ellipticCurve(let x, let y):
            try require(x.count == 32 && y.count == 32 && key.algorithm == .es256, "a point of P-256")
        case .rsa(let modulus, let exponent):
            try require(
                modulus.count >= 256 && !exponent.isEmpty && key.algorithm == .rs256, "2,048 bits and more")
        }
    }
}

/// What is read in its one form is written in that form again.
private func checkEncodings(_ text: String) throws(FuzzFailure) {
    for alphabet in [Base64.Alphabet.url, .standard] {
        if let bytes = Base64.decode(text, as: alphabet) {
            try require(Base64.encode(bytes, as: alphabet) == text, "one encoding for the same bytes")
        }
        let bytes = Array(text.utf8)
        try require(
            Base64.decode(Base64.encode(bytes, as: alphabet), as: alphabet) == bytes, "base64 there and back")
    }
    if let address = IPAddress(text) {
        try require(IPAddress(address.description) == address, "an address there and back: \(address)")
    }
    if let network = IPNetwork(text) {
        try require(network.contains(network.address), "a network holds its own address")
    }
    if let uuid = UUID128(text) {
        try require(uuid.description == text.lowercased(), "a UUID there and back")
    }
    if let time = UnixTime(rfc3339: text) {
        let written = time.rfc3339
        // A time in the year 0000 or 9999 may be in another year in UTC, which four digits cannot say.
        if (UnixTime(milliseconds: -62_167_219_200_000)...UnixTime(milliseconds: 253_402_300_799_999)).contains(time) {
            try require(UnixTime(rfc3339: written) == time, "a time there and back: \(written)")
        }
    }
}
