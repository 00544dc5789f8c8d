// Finds the client behind a proxy. The proxy names it in Forwarded (RFC 7239) or X-Forwarded-For, to the right of whatever the
// client itself wrote there. So the list is read from the right, and only as far as its authors are trusted:
//
//     X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.7      from the peer 10.0.0.1, with 10.0.0.0/8 trusted
//                      a lie    the client   a proxy

/// FYNLO_TRUSTED_PROXIES: the proxies whose word is taken.
public struct TrustedProxies: Sendable {
    private let networks: [IPNetwork]

    /// With no networks, no proxy is trusted.
    public init(_ networks: [IPNetwork] = []) {
        self.networks = networks
    }

    /// May this address speak for others?
    public func trusts(_ address: IPAddress) -> Bool {
        networks.contains { $0.contains(address) }
    }

    /// The address of the client that sent a request over a connection from `peer`: the right-most address that is not a
    /// trusted proxy's.
    ///
    /// If the list ends before one is found, or continues with something that is not an address (`unknown`, a name such as
    /// `_hidden`, unreadable bytes), it is the last proxy named. If both fields are present and disagree, it is the peer: the
    /// client may have made up one of them, which a proxy that writes the other passed on.
    /// `nil` if a trusted peer names nobody: the request is the peer's own.
    public func client(of headers: HTTPHeaders, from peer: IPAddress) -> IPAddress? {
        guard trusts(peer) else { return peer }
        let standard = client(ForwardedField.hops(in: headers.values("forwarded")), from: peer)
        let customary = client(ForwardedField.customaryHops(in: headers.values("x-forwarded-for")), from: peer)
        guard let standard, let customary else { return standard ?? customary }
        return standard == customary ? standard : peer
    }

    private func client(_ hops: [IPAddress?], from peer: IPAddress) -> IPAddress? {
        guard !hops.isEmpty else { return nil }
        var nearest = peer
        for hop in hops.reversed() {
            guard let hop else { break }
            nearest = hop
            guard trusts(hop) else { break }
        }
        return nearest
    }

    /// True if a request says that it was forwarded, whether or not that is trusted.
    public static func isForwarded(_ headers: HTTPHeaders) -> Bool {
        headers.count("forwarded") + headers.count("x-forwarded-for") > 0
    }
}

/// The grammars of the two fields. A hop is `nil` if it has no readable address.
enum ForwardedField {
    /// The hops of Forwarded, in order. A value that breaks the grammar counts as one hop without an address: where its
    /// elements begin and end cannot be determined.
    static func hops(in values: [String]) -> [IPAddress?] {
        values.flatMap { value in
            var reader = ForwardedReader(value)
            return reader.hops() ?? [nil]
        }
    }

    /// The values of X-Forwarded-For, in order: a list of addresses, IPv6 with or without brackets, with or without a port.
    static func customaryHops(in values: [String]) -> [IPAddress?] {
        var hops: [IPAddress?] = []
        for value in values {
            for element in value.utf8.split(separator: UInt8(ascii: ",")) {
                let text = String(Substring(element).trimmingBlanks())
                if !text.isEmpty { hops.append(IPAddress(text) ?? address(ofNode: text)) }
            }
        }
        return hops
    }

    /// RFC 7239 §6: `192.0.2.1`, `192.0.2.1:4711`, `[2001:db8::1]`, `[2001:db8::1]:4711`; `nil` for `unknown`, `_hidden` and
    /// anything that is not a node.
    static func address(ofNode text: String) -> IPAddress? {
        let end = text.hasPrefix("[") ? text.firstIndex(of: "]") : text.firstIndex(of: ":") ?? text.endIndex
        guard let end else { return nil }
        var rest = text[end...]
        var host = text[..<end]
        if rest.hasPrefix("]") {
            rest = rest.dropFirst()
            host = host.dropFirst()
        }
        guard let address = IPAddress(host), host.contains(":") == text.hasPrefix("[") else { return nil }
        guard !rest.isEmpty else { return address }
        return rest.hasPrefix(":") && isPort(rest.dropFirst()) ? address : nil
    }

    /// RFC 7239 §6.3: up to five digits, or a name that begins with an underscore.
    private static func isPort(_ text: Substring) -> Bool {
        let bytes = text.utf8
        if (1...5).contains(bytes.count), bytes.allSatisfy(\.isDigit) { return true }
        return bytes.count > 1 && bytes.first == UInt8(ascii: "_") && text.utf8Span.span.consists(of: .obfuscated)
    }
}

/// Reads one value of Forwarded. RFC 7239 §4: elements `pair *( ";" pair )` with commas between them, a pair being
/// `token "=" ( token / quoted-string )`; names compare without case and occur once in an element.
private struct ForwardedReader {
    private let bytes: [UInt8]
    private var index = 0

    init(_ value: String) {
        bytes = Array(value.utf8)
    }

    /// One hop per element; `nil` if the value breaks the grammar.
    mutating func hops() -> [IPAddress?]? {
        var hops: [IPAddress?] = []
        while true {
            var names: [String] = []
            var node: String?
            while true {
                skipBlanks()
                if next != UInt8(ascii: ","), next != UInt8(ascii: ";"), next != nil {
                    guard let name = token()?.lowercased(), take(UInt8(ascii: "=")), !names.contains(name),
                        let value = next == UInt8(ascii: "\"") ? quotedString() : token()
                    else { return nil }
                    names.append(name)
                    if name == "for" { node = value }
                }
                skipBlanks()
                guard take(UInt8(ascii: ";")) else { break }
            }
            // RFC 9110 §5.6.1.2: empty elements of a list do not count.
            if !names.isEmpty { hops.append(node.flatMap(ForwardedField.address(ofNode:))) }
            if index == bytes.count { return hops }
            guard take(UInt8(ascii: ",")) else { return nil }
        }
    }

    private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        index += 1
        return true
    }

    private mutating func skipBlanks() {
        while next == .space || next == .tab { index += 1 }
    }

    private mutating func token() -> String? {
        let start = index
        while let byte = next, ByteSet.token.contains(byte) { index += 1 }
        return index > start ? String(decoding: bytes[start..<index], as: UTF8.self) : nil
    }

    /// RFC 9110 §5.6.4.
    private mutating func quotedString() -> String? {
        guard take(UInt8(ascii: "\"")) else { return nil }
        var text: [UInt8] = []
        while var byte = next {
            index += 1
            if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
            if byte == UInt8(ascii: "\\") {
                guard let escaped = next else { return nil }
                byte = escaped
                index += 1
            }
            text.append(byte)
        }
        return nil
    }
}

extension Substring {
    /// The text without the spaces and tabs at both ends.
    fileprivate func trimmingBlanks() -> Substring {
        let isBlank: (UInt8) -> Bool = { $0 == .space || $0 == .tab }
        guard let start = utf8.firstIndex(where: { !isBlank($0) }), let end = utf8.lastIndex(where: { !isBlank($0) })
        else { return Substring() }
        return self[start...end]
    }
}
