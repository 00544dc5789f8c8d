// A statement's result, read in place: libpq keeps the bytes, and they are copied only on demand.

import CPostgres
import FynloCore

/// The rows of one statement, which are freed together with it.
final class PostgresResult {
    private let result: OpaquePointer

    /// Takes over a PGresult.
    init(_ result: OpaquePointer) {
        self.result = result
    }

    deinit {
        PQclear(result)
    }

    var count: Int { Int(PQntuples(result)) }

    /// The number of rows that an insert, update or delete affected; 0 for other statements.
    var affectedRows: Int {
        PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0
    }

    /// Row `index`, which must be less than `count`.
    subscript(index: Int) -> PostgresRow {
        precondition(index >= 0 && index < count, "a row that exists")
        return PostgresRow(result: self, index: Int32(index))
    }

    var first: PostgresRow? { count > 0 ? self[0] : nil }

    var rows: [PostgresRow] { (0..<count).map { self[$0] } }

    /// The text form of a column, `nil` for NULL or a column that does not exist.
    fileprivate func withColumn<Result>(
        _ column: Int, row: Int32, _ body: (Span<UInt8>) -> Result
    ) -> Result? {
        guard column >= 0, column < Int(PQnfields(result)), PQgetisnull(result, row, Int32(column)) == 0,
            let value = PQgetvalue(result, row, Int32(column))
        else { return nil }
        let count = Int(PQgetlength(result, row, Int32(column)))
        // The bytes live as long as the result, which the caller holds.
        return value.withMemoryRebound(to: UInt8.self, capacity: count) {
            body(Span(_unsafeElements: UnsafeBufferPointer(start: $0, count: count)))
        }
    }
}

/// One row, its columns by position.
struct PostgresRow {
    fileprivate let result: PostgresResult
    fileprivate let index: Int32

    /// The column's text as bytes, `nil` for NULL.
    func bytes(_ column: Int) -> [UInt8]? {
        result.withColumn(column, row: index) { column in column.withUnsafeBufferPointer { Array($0) } }
    }

    /// Appends the column's text to a buffer; false for NULL.
    @discardableResult
    func append(_ column: Int, to buffer: inout ByteBuffer) -> Bool {
        result.withColumn(column, row: index) { buffer.append($0) } != nil
    }

    func string(_ column: Int) -> String? {
        result.withColumn(column, row: index) { column in
            column.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
        }
    }

    func integer(_ column: Int) -> Int64? {
        result.withColumn(column, row: index) { Int64(decimal: $0) } ?? nil
    }

    func boolean(_ column: Int) -> Bool? {
        result.withColumn(column, row: index) { $0.equals("t") }
    }

    func uuid(_ column: Int) -> UUID128? {
        result.withColumn(column, row: index) { UUID128($0) } ?? nil
    }
}

/// A parameter of a statement, sent in its text form.
enum PostgresValue: Equatable {
    case null
    case text(String)
    case integer(Int64)
    case boolean(Bool)
    case uuid(UUID128)

    static func optional(_ text: String?) -> PostgresValue { text.map { .text($0) } ?? .null }
    static func optional(_ number: Int64?) -> PostgresValue { number.map { .integer($0) } ?? .null }
    static func optional(_ uuid: UUID128?) -> PostgresValue { uuid.map { .uuid($0) } ?? .null }

    /// Writes the text form for libpq, with a terminating NUL; returns false for NULL. The repositories pass no text that
    /// contains a NUL.
    fileprivate func append(to text: inout ByteWriter) -> Bool {
        switch self {
        case .null: return false
        case .text(let value): text.append(value.utf8Span.span)
        case .integer(let number): text.append(decimal: number)
        case .boolean(let flag): text.append(UInt8(ascii: flag ? "t" : "f"))
        case .uuid(let uuid): text.append(uuid)
        }
        text.append(0 as UInt8)
        return true
    }

    /// An upper bound of the text form's length.
    fileprivate var roomBytes: Int {
        switch self {
        case .null, .boolean: 2
        case .text(let value): value.utf8.count + 1
        case .integer: 22
        case .uuid: 37
        }
    }
}

extension [PostgresValue] {
    /// Lends the values' text forms as libpq's array of C strings; NULL is a null pointer.
    func withPointers<Result>(_ body: (Int32, [UnsafePointer<CChar>?]) -> Result) -> Result {
        // Room for all values at once, since this runs several times for every command.
        var text = ByteBuffer()
        var starts: [Int] = []
        starts.reserveCapacity(count)
        text.write(atMost: reduce(0) { $0 + $1.roomBytes }) { writer in
            for value in self {
                let start = writer.count
                starts.append(value.append(to: &writer) ? start : -1)
            }
        }
        return text.withReadable { bytes in
            bytes.withUnsafeBytes { bytes in
                // The pointers live as long as `bytes`; libpq copies what it sends.
                let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
                return body(Int32(count), starts.map { start in start < 0 ? nil : base?.advanced(by: start) })
            }
        }
    }
}

/// A statement that is prepared once per connection.
struct PostgresStatement: Hashable {
    /// The name of the prepared statement.
    let name: String
    let sql: String
}
