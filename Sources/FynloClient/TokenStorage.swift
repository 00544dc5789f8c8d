// Where a token is kept between two runs of a program.

import FynloCore
import FynloIO
import Glibc

/// A place for one text: the token, or whatever the owner's identity provider needs to make one.
public protocol TokenStorage: AnyObject {
    /// What was saved last; `nil` if nothing was. Throws a sentence when it cannot be read.
    func load() throws(StorageError) -> String?
    func save(_ token: String) throws(StorageError)
    /// Removes it.
    func clear() throws(StorageError)
}

/// A file that cannot be used; one sentence.
public struct StorageError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ sentence: String) {
        description = sentence
    }

    /// With the reason that `errno` holds.
    static func last(_ what: String) -> StorageError {
        StorageError("\(what): \(String(cString: strerror(errno))).")
    }
}

/// Keeps the token as long as the program runs.
public final class MemoryTokenStorage: TokenStorage {
    private var token: String?

    public init(_ token: String? = nil) {
        self.token = token
    }

    public func load() -> String? { token }

    public func save(_ token: String) { self.token = token }

    public func clear() { token = nil }
}

/// Keeps the token in a file that only its owner can read (mode 0600). A file is replaced as a whole: whenever the program
/// ends, there is the old token or the new one.
public final class FileTokenStorage: TokenStorage {
    private let path: String

    /// A file in a directory that exists.
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
