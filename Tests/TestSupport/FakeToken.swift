public import FynloCore

/// Unsigned tokens in the form of a JWT, for tests of code that only holds tokens.
public enum FakeToken {
    /// `name` is its `sub`; `expiresAt` may lie in the past.
    public static func make(_ name: String, expiresAt: UnixTime) -> String {
        let header = Base64.encode(Array(#"{"alg":"HS256"}"#.utf8), as: .url)
        let payload = #"{"sub":"\#(name)","exp":\#(expiresAt.seconds)}"#
        return "\(header).\(Base64.encode(Array(payload.utf8), as: .url)).c2lnbmF0dXJl"
    }
}
