@testable import FynloServer

extension Duration {
    /// A limit for waiting, and for what a server waits for, on a machine that is slowed down: a program with a sanitizer
    /// takes several times as long. Told by `scripts/test`.
    var patient: Duration {
        CommandLine.environment["FYNLO_TEST_SANITIZER"] == nil ? self : self * 4
    }
}
