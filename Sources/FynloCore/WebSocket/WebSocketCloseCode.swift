// The close codes of the protocol itself. Those of an application (4000 and above) are plain numbers here; their
// meaning is the business of the session.

/// RFC 6455 §7.4.
public enum WebSocketCloseCode {
    public static let normal: UInt16 = 1000
    public static let goingAway: UInt16 = 1001
    public static let protocolError: UInt16 = 1002
    public static let unsupportedData: UInt16 = 1003
    /// Never on the wire: stands for a close frame without a code.
    public static let noStatusReceived: UInt16 = 1005
    /// Never on the wire: stands for a connection that ended without a close frame.
    public static let abnormalClosure: UInt16 = 1006
    public static let invalidPayload: UInt16 = 1007
    public static let policyViolation: UInt16 = 1008
    public static let messageTooBig: UInt16 = 1009
    public static let mandatoryExtension: UInt16 = 1010
    public static let internalError: UInt16 = 1011

    /// True for codes that may stand in a close frame: those that RFC 6455 defines for it, 1012 to 1014, which IANA
    /// registered since and proxies send, and the ranges for registered (3000–3999) and private (4000–4999) use.
    public static func isAllowedOnWire(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}
