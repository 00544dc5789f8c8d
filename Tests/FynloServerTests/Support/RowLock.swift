import FynloCore

@testable import FynloServer

/// Another program's transaction that stands in the way until it is released.
final class RowLock {
    private let session: PostgresSession
    private let observer: TestDatabase
    private let backend: String

    /// Locks one order.
    convenience init(on order: OrderID, in database: TestDatabase) throws {
        try self.init("select from orders where id = '\(order)' for update", in: database)
    }

    /// Locks whatever the statement locks.
    init(_ statement: String, in database: TestDatabase) throws {
        session = try database.anotherSession()
        observer = database
        _ = try session.execute("begin; " + statement).get()
        backend = try session.execute("select pg_backend_pid()").get().first?.string(0) ?? "0"
    }

    /// The backends that wait for it.
    private static func waiting(for backend: String) -> String {
        "select pid from pg_stat_activity where \(backend) = any (pg_blocking_pids(pid))"
    }

    /// True while somebody waits for it.
    var isInTheWay: Bool {
        ((try? observer.run(RowLock.waiting(for: backend)))?.count ?? 0) > 0
    }

    /// Ends the connections of those who wait, as a database that is restarted does.
    func terminateWaiting() throws {
        try observer.run("select pg_terminate_backend(pid) from (\(RowLock.waiting(for: backend))) as waiting")
    }

    /// Lets everybody through; what the transaction changed is undone.
    func release() {
        _ = session.execute("rollback")
    }
}
