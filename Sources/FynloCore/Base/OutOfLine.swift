// Storage elsewhere for what few connections need: an idle connection should be small.

/// An optional value in memory of its own. It takes 8 bytes in its owner. It has value semantics: after its owner is copied,
/// it is copied before either copy changes it.
package struct OutOfLine<Value> {
    /// At most one element.
    private var cell: [Value]

    /// No value.
    package init() {
        cell = []
    }

    package init(_ value: Value) {
        cell = [value]
    }

    package var isEmpty: Bool { cell.isEmpty }

    /// A copy of the value.
    package var value: Value? { cell.first }

    /// Reads the value in place, if there is one.
    @inline(__always)
    package func read<Result>(_ body: (borrowing Value) -> Result) -> Result? {
        cell.isEmpty ? nil : body(cell[0])
    }

    /// Changes the value in place, if there is one.
    @inline(__always)
    package mutating func change<Result, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        cell.isEmpty ? nil : try body(&cell[0])
    }

    /// Changes the value in place, and creates it first if there is none.
    package mutating func change<Result, Failure: Error>(
        orFrom initial: @autoclosure () -> Value, _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        if cell.isEmpty { cell.append(initial()) }
        return try body(&cell[0])
    }

    package mutating func clear() {
        if !cell.isEmpty { cell = [] }
    }
}

extension OutOfLine: Sendable where Value: Sendable {}
