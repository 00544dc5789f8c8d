// embed-files OUTPUT INPUT...: writes a Swift file with the text of each input, by file name.
import Foundation

let arguments = CommandLine.arguments
guard arguments.count >= 2 else {
    FileHandle.standardError.write(Data("usage: embed-files OUTPUT INPUT...\n".utf8))
    exit(64)
}

var source = "// Made by embed-files from files of the repository.\n\n"
source += "enum EmbeddedFiles {\n    static let all: [(name: String, text: String)] = [\n"
for path in arguments.dropFirst(2) {
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let name = URL(fileURLWithPath: path).lastPathComponent
    // Four number signs, because no file contains `"""####`.
    source += "        (\n            name: \"\(name)\",\n"
    source += "            text: ####\"\"\"\n\(text)\n\"\"\"####\n        ),\n"
}
source += "    ]\n}\n"
// An unchanged file is not written again, so that nothing that depends on it is recompiled.
if (try? String(contentsOfFile: arguments[1], encoding: .utf8)) != source {
    try source.write(toFile: arguments[1], atomically: true, encoding: .utf8)
}
