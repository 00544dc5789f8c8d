import Foundation

/// Certificates for one test.
public final class TestCertificates {
    private let files: TestFolder
    /// Where they are.
    public var folder: String { files.path }

    public init() throws {
        files = try TestFolder()
    }

    /// A self-signed certificate for `host` and its key, in place of the ones of that name; returns their paths.
    @discardableResult
    public func make(
        _ name: String, key: [String] = TestCertificates.ecdsa, host: String = "fynlo.test"
    ) throws -> (certificate: String, key: String) {
        let paths = (certificate: "\(folder)/\(name).crt", key: "\(folder)/\(name).key")
        try OpenSSLProgram.run(
            ["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=\(host)", "-addext", "subjectAltName=DNS:\(host)"]
                + ["-newkey"] + key + ["-keyout", paths.key, "-out", paths.certificate])
        return paths
    }

    public static let ecdsa = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    public static let rsa = ["rsa:2048"]
}
