import Foundation

/// A JSON value, for looking into answers: `document["data"]["id"].string`.
enum Document: Decodable, Equatable {
    case object([String: Document])
    case array([Document])
    case string(String)
    case number(Decimal)
    case boolean(Bool)
    case null

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Decimal.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([Document].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: Document].self))
        }
    }

    init(_ bytes: [UInt8]) throws {
        self = try JSONDecoder().decode(Document.self, from: Data(bytes))
    }

    init(json: String) throws {
        try self.init(Array(json.utf8))
    }

    /// A member, `null` if there is none.
    subscript(name: String) -> Document {
        if case .object(let members) = self { members[name] ?? .null } else { .null }
    }

    /// An element, `null` if there is none.
    subscript(index: Int) -> Document {
        if case .array(let elements) = self, elements.indices.contains(index) { elements[index] } else { .null }
    }

    var string: String? { if case .string(let value) = self { value } else { nil } }
    var integer: Int? { if case .number(let value) = self { NSDecimalNumber(decimal: value).intValue } else { nil } }
    var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
    var members: [String: Document] { if case .object(let value) = self { value } else { [:] } }
    var elements: [Document] { if case .array(let value) = self { value } else { [] } }
}
