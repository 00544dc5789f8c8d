// The openssl program, as an independent implementation to test against.

public import Foundation

/// The openssl program failed.
public struct OpenSSLProgramError: Error {
    public let arguments: [String]
    public let message: String
}

public enum OpenSSLProgram {
    public static let url = URL(fileURLWithPath: "/usr/bin/openssl")

    /// Runs the program and returns its standard output.
    @discardableResult
    public static func run(_ arguments: [String]) throws -> [UInt8] {
        let process = Process()
        process.executableURL = url
        process.arguments = arguments
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        let message = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw OpenSSLProgramError(arguments: arguments, message: String(decoding: message, as: UTF8.self))
        }
        return Array(data)
    }
}

/// A folder for one test's files, removed together with the value.
public final class TestFolder {
    public let path: String

    public init() throws {
        path = NSTemporaryDirectory() + "fynlo-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Writes a file, in place of the one of that name; returns its path.
    @discardableResult
    public func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: path + "/" + name, atomically: true, encoding: .utf8)
        return path + "/" + name
    }
}
