// The files of the repository that tests read where they lie.

public import Foundation

/// The checkout that the tests were built from.
public enum Repository {
    /// The folder that holds Package.swift.
    public static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The text of a file, by its path from the root. Throws Foundation's error if it is not there or is not UTF-8.
    public static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }
}
