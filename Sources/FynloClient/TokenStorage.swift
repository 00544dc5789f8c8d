// Storage for a token between two runs of a program.

import FynloCore
import FynloIO
import Glibc

/// Stores one text: the token, or whatever the identity provider needs to issue one.
public protocol TokenStorage: AnyObject {
    /// The last saved text; `nil` if there is none. Throws one sentence if it cannot be read.
    func load() throws(StorageError) -> String?
    func save(_ token: String) throws(StorageError)
    /// Removes the text.
    func clear() throws(StorageError)
}

/// A file that cannot be used; one sentence.
public struct StorageError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ sentence: String) {
        description = sentence
    }

    /// The error with the reason in `errno`.
    static func last(_ what: String) -> StorageError {
        StorageError("\(what): \(String(cString: strerror(errno))).")
    }
}

/// Keeps the token in memory, as long as the program runs.
public final class MemoryTokenStorage: TokenStorage {
    private var token: String?

    public init(_ token: String? = nil) {
        self.token = token
    }

    public func load() -> String? { token }

    public func save(_ token: String) { self.token = token }

    public func clear() { token = nil }
}

/// Keeps the token in a file that only its owner can read (mode 0600). The file is replaced atomically: after a crash it has the
/// old token or the new one.
public final class FileTokenStorage: TokenStorage {
    private let path: String

    /// Uses the file at this path; its directory must exist.
    public init(path: String) {
        self.path = path
    }

    public func load() throws(StorageError) -> String? {
        guard let bytes = File.contents(of: path, limit: 16_384) else {
            if errno == ENOENT { return nil }
            throw .last("The token file \(path) cannot be read")
        }
        guard var text = String(validating: bytes.span) else {
            throw StorageError("The token file \(path) holds no text.")
        }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text.isEmpty ? nil : text
    }

    public func save(_ token: String) throws(StorageError) {
        do throws(SystemError) {
            try File.replace(path, with: Array(token.utf8) + [0x0a])
        } catch {
            throw StorageError("The token file \(path) cannot be written: \(error)")
        }
    }

    public func clear() throws(StorageError) {
        guard unlink(path) == 0 || errno == ENOENT else {
            throw .last("The token file \(path) cannot be removed")
        }
    }
}
