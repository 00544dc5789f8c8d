// A JSON object, read member by member to make tables.

import FynloCore

/// One JSON object.
struct JSONRecord {
    /// Its text.
    let json: [UInt8]
    private var members: [String: JSONValue] = [:]

    /// `nil` unless the text is a JSON object in UTF-8.
    init?(_ json: [UInt8]) {
        guard String(validating: json.span) != nil else { return nil }
        self.json = json
        var members: [String: JSONValue] = [:]
        let text = json.span
        let object = try? JSON.scanObject(text) { key, value in
            if let name = JSON.string(key, in: text) { members[name] = value }
        }
        guard object != nil else { return nil }
        self.members = members
    }

    /// The objects in a JSON array; `nil` if the text is not an array.
    static func array(_ json: [UInt8]) -> [JSONRecord]? {
        guard String(validating: json.span) != nil, let array = try? JSON.scan(json.span) else { return nil }
        return records(in: array, json)
    }

    private static func records(in array: JSONValue, _ json: [UInt8]) -> [JSONRecord]? {
        var records: [JSONRecord] = []
        var isWhole = true
        let scanned: Void? = try? JSON.scanElements(of: array, in: json.span) { element in
            guard let record = JSONRecord(Array(json[element.positions])) else {
                isWhole = false
                return
            }
            records.append(record)
        }
        return scanned != nil && isWhole ? records : nil
    }

    /// The text of a string.
    func string(_ name: String) -> String? {
        members[name].flatMap { JSON.string($0, in: json.span) }
    }

    /// A string's text, or a number or boolean as written; empty if it is null or missing.
    func text(_ name: String) -> String {
        guard let value = members[name], value.kind != .null else { return "" }
        return string(name) ?? String(decoding: json[value.positions], as: UTF8.self)
    }

    /// A number with two decimals.
    func money(_ name: String) -> String {
        let text = self.text(name)
        guard !text.isEmpty, !text.contains(where: { "eE".contains($0) }) else { return text }
        guard let point = text.firstIndex(of: ".") else { return text + ".00" }
        let decimals = text.distance(from: point, to: text.endIndex) - 1
        return text + String(repeating: "0", count: max(0, 2 - decimals))
    }

    func boolean(_ name: String) -> Bool { text(name) == "true" }

    /// A whole number.
    func integer(_ name: String) -> Int64? {
        members[name].flatMap { JSON.integer($0, in: json.span) }
    }

    /// An object.
    func record(_ name: String) -> JSONRecord? {
        members[name].flatMap { JSONRecord(Array(json[$0.positions])) }
    }

    /// A list of objects; empty for anything else.
    func records(_ name: String) -> [JSONRecord] {
        members[name].flatMap { JSONRecord.records(in: $0, json) } ?? []
    }

    /// A time in the local time zone, such as `2026-01-31 18:04`.
    func localTime(_ name: String) -> String {
        guard let time = string(name).flatMap({ UnixTime(rfc3339: $0) }) else { return text(name) }
        return LocalTime(time).minutes
    }
}
