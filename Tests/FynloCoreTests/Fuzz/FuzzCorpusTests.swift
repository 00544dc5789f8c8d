import Foundation
import Testing

@Suite("Fuzzing: the saved inputs")
struct FuzzCorpusTests {
    /// The inputs of a target: seeds, what the fuzzer found worth keeping, and what once failed.
    private func inputs(of target: FuzzTarget) throws -> [URL] {
        let directory = URL(filePath: #filePath).deletingLastPathComponent().appending(path: target.rawValue)
        return try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
            .sorted { $0.path < $1.path }
    }

    @Test("keep every promise", arguments: FuzzTarget.allCases)
    func corpus(target: FuzzTarget) throws {
        let files = try inputs(of: target)
        #expect(!files.isEmpty)
        for file in files {
            let input = [UInt8](try Data(contentsOf: file))
            #expect(throws: Never.self, "\(target)/\(file.lastPathComponent)") { try target.run(input) }
        }
    }

    @Test("keep every promise when cut short", arguments: FuzzTarget.allCases)
    func prefixes(target: FuzzTarget) throws {
        // Those with a name of their own; what the fuzzer adds is named by its hash and explores much of this by itself.
        for file in try inputs(of: target) where file.lastPathComponent.count < 40 {
            let input = [UInt8](try Data(contentsOf: file))
            guard input.count <= 512 else { continue }
            for length in 0..<input.count {
                #expect(throws: Never.self, "\(target)/\(file.lastPathComponent), \(length) bytes") {
                    try target.run(Array(input[..<length]))
                }
            }
        }
    }
}
