import Foundation
import FynloCore

/// Certificates for one test.
public final class TestCertificates {
    private let files: TestFolder
    /// The folder of the certificates.
    public var folder: String { files.path }

    public init() throws {
        files = try TestFolder()
    }

    /// A self-signed certificate for `host`, a name or an IP address, and its key, in place of the ones of that name;
    /// returns their paths.
    @discardableResult
    public func make(
        _ name: String, key: [String] = TestCertificates.ecdsa, host: String = "fynlo.test", isExpired: Bool = false
    ) throws -> (certificate: String, key: String) {
        let paths = (certificate: "\(folder)/\(name).crt", key: "\(folder)/\(name).key")
        let kind = IPAddress(host) == nil ? "DNS" : "IP"
        try OpenSSLProgram.run(
            ["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=\(host)"]
                + ["-addext", "subjectAltName=\(kind):\(host)", "-newkey"] + key
                + ["-keyout", paths.key, "-out", paths.certificate])
        if isExpired {
            let expired = "\(folder)/\(name)-expired.crt"
            try OpenSSLProgram.run(
                ["x509", "-in", paths.certificate, "-signkey", paths.key, "-days", "-1", "-out", expired])
            return (expired, paths.key)
        }
        return paths
    }

    /// An authority, a second one that it vouches for, and a certificate for `host` by that one; returns their paths. The
    /// second authority's certificate is the last one of `chain`.
    public func makeChain(
        host: String = "fynlo.test"
    ) throws -> (authority: String, chain: String, certificate: String, key: String) {
        let authority = try make("root", host: "root.test")
        let middle = try sign("middle", host: "middle.test", by: authority)
        let leaf = try sign("leaf", host: host, by: middle)
        let chain = try [leaf, middle].map { try String(contentsOfFile: $0.certificate, encoding: .utf8) }.joined()
        return (authority.certificate, try files.write(chain, to: "chain.crt"), leaf.certificate, leaf.key)
    }

    private func sign(
        _ name: String, host: String, by authority: (certificate: String, key: String)
    ) throws -> (certificate: String, key: String) {
        let paths = (certificate: "\(folder)/\(name).crt", key: "\(folder)/\(name).key")
        try OpenSSLProgram.run(
            ["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=\(host)", "-addext", "subjectAltName=DNS:\(host)"]
                + ["-CA", authority.certificate, "-CAkey", authority.key, "-newkey"] + TestCertificates.ecdsa
                + ["-keyout", paths.key, "-out", paths.certificate])
        return paths
    }

    public static let ecdsa = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    public static let rsa = ["rsa:2048"]
}
