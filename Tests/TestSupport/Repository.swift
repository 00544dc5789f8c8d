// The repository's files, which tests read in place.

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

    /// The paths from the root of all files below a folder whose names end so, in order. Throws if there is no such folder.
    public static func files(in folder: String, endingWith suffix: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: root.appending(path: folder).path).filter {
            $0.hasSuffix(suffix)
        }.sorted().map { folder + "/" + $0 }
    }
}
