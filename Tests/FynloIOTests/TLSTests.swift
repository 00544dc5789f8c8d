import Foundation
import FynloCore
import FynloIO
import TestSupport
import Testing

@Suite("TLS over memory")
struct TLSTests {
    /// A client and a server, joined without a network.
    private struct Pair {
        let client: TLSEngine
        let server: TLSEngine
        var toServer = ByteBuffer()
        var toClient = ByteBuffer()
        var atServer = ByteBuffer()
        var atClient = ByteBuffer()

        init(_ server: TLSContext, _ client: TLSContext, host: String = "fynlo.test") throws {
            self.client = try TLSEngine(client: client, host: host)
            self.server = try TLSEngine(server: server)
        }

        /// Passes bytes to and fro, `chunk` at a time, until nobody has anything to say.
        mutating func exchange(chunk: Int = .max) throws {
            try client.start(output: &toServer)
            try pump(chunk: chunk)
        }

        mutating func pump(chunk: Int = .max) throws {
            while !toServer.isEmpty || !toClient.isEmpty {
                while !toServer.isEmpty {
                    var part = take(chunk, &toServer)
                    try server.receive(&part, plaintext: &atServer, output: &toClient)
                }
                while !toClient.isEmpty {
                    var part = take(chunk, &toClient)
                    try client.receive(&part, plaintext: &atClient, output: &toServer)
                }
            }
        }

        private func take(_ count: Int, _ buffer: inout ByteBuffer) -> ByteBuffer {
            let bytes = Array(buffer.bytes().prefix(count))
            buffer.consume(bytes.count)
            return ByteBuffer(bytes)
        }
    }

    @Test("carries bytes both ways, whole and byte by byte", arguments: [TestCertificates.ecdsa, TestCertificates.rsa])
    func carries(key: [String]) throws {
        let certificates = try TestCertificates()
        let paths = try certificates.make("a", key: key)
        let server = try TLSContext(certificatePath: paths.certificate, keyPath: paths.key)
        let client = try TLSContext(authorityPath: paths.certificate)
        for chunk in [1, 7, .max] {
            var pair = try Pair(server, client)
            try pair.exchange(chunk: chunk)
            #expect(pair.client.isEstablished && pair.server.isEstablished)
            #expect(pair.server.version == "TLSv1.3")
            let message = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            var plaintext = ByteBuffer(message)
            try pair.client.send(&plaintext, limit: .max, output: &pair.toServer)
            try pair.pump(chunk: chunk == 1 ? 1_000 : chunk)
            #expect(pair.atServer.bytes() == message)
            plaintext = ByteBuffer(message)
            try pair.server.send(&plaintext, limit: 10_000, output: &pair.toClient)
            #expect(plaintext.count == 60_000)
            try pair.pump()
            #expect(pair.atClient.bytes() == Array(message[..<10_000]))
            pair.server.close(output: &pair.toClient)
            try pair.pump()
            #expect(pair.client.isInputEnded)
        }
    }

    @Test("refuses a certificate for another host, and one that no authority signed")
    func verifies() throws {
        let certificates = try TestCertificates()
        let paths = try certificates.make("a", key: TestCertificates.ecdsa)
        let other = try certificates.make("b", key: TestCertificates.ecdsa)
        let server = try TLSContext(certificatePath: paths.certificate, keyPath: paths.key)
        let trusting = try TLSContext(authorityPath: paths.certificate)
        let distrusting = try TLSContext(authorityPath: other.certificate)
        #expect(throws: TLSError.self) {
            var pair = try Pair(server, trusting, host: "elsewhere.test")
            try pair.exchange()
        }
        #expect(throws: TLSError.self) {
            var pair = try Pair(server, distrusting)
            try pair.exchange()
        }
    }

    @Test(
        "compares a name with the certificate's names, an address with its addresses",
        arguments: [
            ("fynlo.test", "fynlo.test", true), ("fynlo.test", "fynlo.test.", true), ("fynlo.test", "FYNLO.test", true),
            ("*.fynlo.test", "pos.fynlo.test", true), ("*.fynlo.test", "fynlo.test", false),
            ("*.fynlo.test", "a.pos.fynlo.test", false), ("p*.fynlo.test", "pos.fynlo.test", false),
            ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.8", false), ("192.0.2.7", "fynlo.test", false),
            ("2001:db8::7", "2001:db8:0::7", true), ("2001:db8::7", "::1", false), ("fynlo.test", "192.0.2.7", false),
        ])
    func names(certified: String, asked: String, isAccepted: Bool) throws {
        let certificates = try TestCertificates()
        let paths = try certificates.make("a", host: certified)
        let server = try TLSContext(certificatePath: paths.certificate, keyPath: paths.key)
        var pair = try Pair(server, try TLSContext(authorityPath: paths.certificate), host: asked)
        do {
            try pair.exchange()
            #expect(isAccepted && pair.client.isEstablished)
        } catch let error as TLSError {
            #expect(!isAccepted)
            #expect(error == .certificate(host: asked, .otherHost))
        }
    }

    @Test("examines a certificate without trusting it, and tells whose it is")
    func reported() throws {
        let certificates = try TestCertificates()
        let rows: [(String, String, Bool, CertificateProblem?)] = [
            ("192.0.2.7", "192.0.2.7", false, nil), ("2001:db8::7", "2001:db8::8", false, .otherHost),
            ("pos.fynlo.test", "pos.fynlo.test", true, .expired), ("a.test", "b.test", false, .otherHost),
        ]
        for (certified, asked, isExpired, problem) in rows {
            let paths = try certificates.make("a", host: certified, isExpired: isExpired)
            let trust = try TLSContext(authorityPath: paths.certificate, verification: .reported)
            var pair = try Pair(
                try TLSContext(certificatePath: paths.certificate, keyPath: paths.key), trust, host: asked)
            #expect(pair.client.peerCertificate == nil)
            try pair.exchange()
            #expect(pair.client.isEstablished && pair.client.certificateProblem == problem)
            let certificate = try #require(pair.client.peerCertificate)
            #expect(certificate.names == [certified] && certificate.issuer == "/CN=\(certified)")
            let now = UnixTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000))
            let days = (certificate.notAfter.milliseconds - now.milliseconds + 43_200_000) / 86_400_000
            #expect(days == (isExpired ? 0 : 2) && certificate.notBefore <= now)
            #expect(problem?.sentence(host: asked).hasSuffix(".") != false)
        }
        let paths = try certificates.make("b")
        var pair = try Pair(
            try TLSContext(certificatePath: paths.certificate, keyPath: paths.key),
            try TLSContext(verification: .reported))
        try pair.exchange()
        guard case .unknownAuthority = pair.client.certificateProblem else {
            Issue.record("nobody vouches for it")
            return
        }
    }

    @Test("sends the whole chain of the certificate file")
    func chain() throws {
        let certificates = try TestCertificates()
        let paths = try certificates.makeChain()
        let client = try TLSContext(authorityPath: paths.authority)
        var pair = try Pair(try TLSContext(certificatePath: paths.chain, keyPath: paths.key), client)
        try pair.exchange()
        #expect(pair.client.isEstablished && pair.server.isEstablished)
        #expect(throws: TLSError.self) {
            var pair = try Pair(try TLSContext(certificatePath: paths.certificate, keyPath: paths.key), client)
            try pair.exchange()
        }
    }

    @Test("says in one sentence which file cannot be used")
    func files() throws {
        let certificates = try TestCertificates()
        let one = try certificates.make("a", key: TestCertificates.ecdsa)
        let two = try certificates.make("b", key: TestCertificates.rsa)
        let missing = certificates.folder + "/none.pem"
        let rubbish = certificates.folder + "/rubbish.pem"
        try "rubbish".write(toFile: rubbish, atomically: true, encoding: .utf8)
        func sentence(_ certificate: String, _ key: String) -> String {
            do {
                _ = try TLSContext(certificatePath: certificate, keyPath: key)
                return "no error"
            } catch {
                return error.description
            }
        }
        #expect(sentence(missing, one.key).hasPrefix("\(missing) cannot be read (No such file"))
        #expect(sentence(one.certificate, missing).hasPrefix("\(missing) cannot be read (No such file"))
        #expect(sentence(rubbish, one.key).hasPrefix("\(rubbish) holds no certificate chain in PEM form"))
        #expect(sentence(one.certificate, rubbish).hasPrefix("\(rubbish) holds no unencrypted private key"))
        let locked = certificates.folder + "/locked.key"
        try OpenSSLProgram.run(["ec", "-in", one.key, "-aes128", "-passout", "pass:secret", "-out", locked])
        #expect(sentence(one.certificate, locked).hasPrefix("\(locked) holds no unencrypted private key"))
        #expect(
            sentence(one.certificate, two.key)
                == "The key in \(two.key) does not belong to the certificate in \(one.certificate).")
        #expect(sentence(one.certificate, one.key) == "no error")
    }

    @Test("fails on bytes that are not TLS, with an alert at most, and never traps")
    func rubbish() throws {
        let certificates = try TestCertificates()
        let paths = try certificates.make("a", key: TestCertificates.ecdsa)
        let context = try TLSContext(certificatePath: paths.certificate, keyPath: paths.key)
        #expect(throws: TLSError.self) {
            var input = ByteBuffer("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            var plaintext = ByteBuffer()
            var output = ByteBuffer()
            try TLSEngine(server: context).receive(&input, plaintext: &plaintext, output: &output)
        }
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let engine = try TLSEngine(server: context)
            var input = ByteBuffer((0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) })
            var plaintext = ByteBuffer()
            var output = ByteBuffer()
            try? engine.receive(&input, plaintext: &plaintext, output: &output)
            #expect(!engine.isEstablished && plaintext.isEmpty)
        }
    }
}
