// Room elsewhere for what few have: a connection that is idle should be small.

/// A value in memory of its own, or none. It takes 8 bytes where it is kept, and is copied, when its owner is, before either
/// changes it.
package struct OutOfLine<Value> {
    /// None or one.
    private var cell: [Value]

    /// None.
    package init() {
        cell = []
    }

    package init(_ value: Value) {
        cell = [value]
    }

    package var isEmpty: Bool { cell.isEmpty }

    /// A copy.
    package var value: Value? { cell.first }

    /// Reads it where it lies, if there is one.
    @inline(__always)
    package func read<Result>(_ body: (borrowing Value) -> Result) -> Result? {
        cell.isEmpty ? nil : body(cell[0])
    }

    /// Changes it where it lies, if there is one.
    @inline(__always)
    package mutating func change<Result, Failure: Error>(
        _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        cell.isEmpty ? nil : try body(&cell[0])
    }

    /// Changes it where it lies; there is one afterwards.
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
