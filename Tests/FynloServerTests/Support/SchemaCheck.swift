import Foundation
import FynloCore
import Testing

/// Compares JSON with JSON Schema (2020-12), as far as the OpenAPI document uses it. A keyword it does not know is a
/// finding, so that nothing in the document goes unchecked.
struct SchemaCheck {
    /// What `$ref` points into.
    let root: Document

    private static let annotations: Set<String> = ["description", "default", "example"]
    private static let types: [String: @Sendable (Document) -> Bool] = [
        "object": { if case .object = $0 { true } else { false } },
        "array": { if case .array = $0 { true } else { false } },
        "string": { if case .string = $0 { true } else { false } },
        "number": { if case .number = $0 { true } else { false } },
        "integer": { $0.number.map { NSDecimalNumber(decimal: $0).int64Value.asDecimal == $0 } ?? false },
        "boolean": { if case .boolean = $0 { true } else { false } },
        "null": { $0 == .null },
    ]

    /// What is wrong with a value, each with the place; empty: nothing. A keyword holds for the values that it is about.
    func findings(_ value: Document, _ schema: Document, at place: String = "$") -> [String] {
        schema.members.sorted { $0.key < $1.key }.flatMap { keyword, argument in
            findings(value, keyword, argument, schema, place)
        }
    }

    private func findings(
        _ value: Document, _ keyword: String, _ argument: Document, _ schema: Document, _ place: String
    ) -> [String] {
        func complain(unless isGood: Bool, _ what: String) -> [String] { isGood ? [] : ["\(place): \(what)"] }
        switch keyword {
        case "$ref":
            return findings(value, target(argument.string ?? ""), at: place)
        case "type":
            let names = argument.string.map { [$0] } ?? argument.elements.compactMap(\.string)
            return complain(unless: names.contains { SchemaCheck.types[$0]?(value) == true }, "is not \(names)")
        case "const":
            return complain(unless: value == argument, "is not \(argument)")
        case "enum":
            return complain(unless: argument.elements.contains(value), "\(value) is none of \(argument.elements)")
        case "anyOf":
            let isGood = argument.elements.contains { findings(value, $0, at: place).isEmpty }
            return complain(unless: isGood, "is like none of the alternatives")
        case "required":
            return argument.elements.compactMap(\.string).filter { value.members[$0] == nil }.map {
                "\(place).\($0): is missing"
            }
        case "properties":
            return argument.members.flatMap { name, schema in
                value.members[name].map { findings($0, schema, at: "\(place).\(name)") } ?? []
            }
        case "additionalProperties":
            let unknown = Set(value.members.keys).subtracting(schema["properties"].members.keys)
            return complain(unless: argument == .boolean(false) && unknown.isEmpty, "has \(unknown) besides")
        case "items":
            return value.elements.enumerated().flatMap { findings($1, argument, at: "\(place)[\($0)]") }
        case "minItems":
            return complain(unless: value.elements.count >= argument.integer ?? .max, "has too few elements")
        case "maxItems":
            return complain(unless: value.elements.count <= argument.integer ?? 0, "has too many elements")
        case "minimum":
            guard let number = value.number, let bound = argument.number else { return [] }
            return complain(unless: number >= bound, "is less than \(bound)")
        case "maximum":
            guard let number = value.number, let bound = argument.number else { return [] }
            return complain(unless: number <= bound, "is more than \(bound)")
        case "minLength":
            guard let text = value.string else { return [] }
            return complain(unless: text.unicodeScalars.count >= argument.integer ?? .max, "is too short")
        case "maxLength":
            guard let text = value.string else { return [] }
            return complain(unless: text.unicodeScalars.count <= argument.integer ?? 0, "is too long")
        case "pattern":
            guard let text = value.string else { return [] }
            let match = (try? Regex(argument.string ?? "")).flatMap { try? $0.firstMatch(in: text) }
            return complain(unless: match != nil, "\(text) does not match \(argument)")
        case "format":
            return complain(
                unless: isFormatted(value, argument.string ?? ""), "\(value) has not the format \(argument)")
        case let name where SchemaCheck.annotations.contains(name):
            return []
        default:
            return ["\(place): the keyword \(keyword) is not checked"]
        }
    }

    private func isFormatted(_ value: Document, _ format: String) -> Bool {
        switch (format, value) {
        case ("uuid", .string(let text)): UUID128(text)?.description == text
        case ("date-time", .string(let text)): UnixTime(rfc3339: text) != nil
        case ("int32", .number(let number)): abs(number) <= Decimal(Int32.max)
        case ("int64", .number(let number)): abs(number) <= Decimal(Int64.max)
        case ("uuid", _), ("date-time", _), ("int32", _), ("int64", _): true
        default: false
        }
    }

    /// What a reference within the document points at; `null` if there is nothing.
    func target(_ reference: String) -> Document {
        guard reference.hasPrefix("#/") else { return .null }
        return reference.dropFirst(2).split(separator: "/").reduce(root) { $0[String($1)] }
    }
}

extension Int64 {
    fileprivate var asDecimal: Decimal { Decimal(self) }
}

extension Document {
    /// The value of a number.
    var number: Decimal? { if case .number(let value) = self { value } else { nil } }
}
