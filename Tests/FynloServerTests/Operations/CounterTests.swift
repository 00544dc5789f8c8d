import FynloCore
import Testing

@testable import FynloServer

@Suite("Counters")
struct CounterTests {
    @Test("there is a place for every error, failure, close code and answer")
    func everyCase() {
        let metrics = Metrics()
        for code in APIError.Code.allCases { metrics.note(code) }
        for failure in AuthenticationFailure.allCases { metrics.note(failure) }
        for reason in CloseReason.allCases { metrics.noteEnd(code: reason.code) }
        for endpoint in Endpoint.allCases {
            for status in [0, 200, 304, 404, 503, 999] { metrics.note(endpoint, status: status) }
        }

        #expect(metrics.errorsByCode.map(\.code) == APIError.Code.allCases.map(\.rawValue))
        #expect(metrics.errorsByCode.allSatisfy { $0.count == 1 })
        #expect(metrics.failuresByCode.map(\.code) == AuthenticationFailure.allCases.map(\.code.description))
        #expect(metrics.failuresByCode.allSatisfy { $0.count == 1 })
        let ours = Set(CloseReason.allCases.map { "\($0.code)" })
        #expect(Set(metrics.endsByCode.filter { $0.count == 1 }.map(\.code)) == ours)
        #expect(metrics.endsByCode.reduce(0) { $0 + $1.count } == UInt64(CloseReason.allCases.count))
        for (label, endpoints) in Dictionary(grouping: Endpoint.allCases, by: \.label) {
            let counts = metrics.responsesByRoute.filter { $0.route == label }
            #expect(counts.map(\.status) == ["2xx", "3xx", "4xx", "5xx"])
            #expect(counts.map(\.count) == [1, 1, 1, 2].map { $0 * UInt64(endpoints.count) }, "\(label)")
        }
    }

    @Test("close codes that are nobody's are counted together")
    func otherCodes() {
        let metrics = Metrics()
        for code in [4999, 3000, 1000, 1004] as [UInt16] { metrics.noteEnd(code: code) }
        let counted = metrics.endsByCode.filter { $0.count > 0 }
        #expect(counted.map(\.code) == ["1000", "other"] && counted.map(\.count) == [1, 3])
    }

    @Test("a tally counts each case for itself")
    func tally() {
        var tally = Tally<ClientType>()
        for client in [ClientType.kitchen, .platform, .kitchen] { tally.add(client) }
        #expect(tally.counts.map(\.key) == ClientType.allCases && tally.counts.map(\.count) == [0, 2, 0, 1])
    }
}
