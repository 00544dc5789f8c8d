import FynloClient
import FynloCore
import FynloIO
import Glibc
import TestSupport
import Testing

@Suite("Token source")
final class TokenSourceTests {
    let loop: EventLoop
    private var heard: [String] = []
    private var asked = 0
    /// Answers that the provider has not given yet.
    private var answers: [(Result<String, TokenFailure>) -> Void] = []

    init() throws {
        loop = try EventLoop()
    }

    deinit {
        loop.close()
    }

    private func token(_ name: String, lasts seconds: Int64 = 3_600) -> String {
        FakeToken.make(
            name, expiresAt: UnixTime(milliseconds: SystemClock.now.unixTime.milliseconds + seconds * 1_000))
    }

    private func source(
        _ first: String? = nil, storage: any TokenStorage = MemoryTokenStorage(), timeout: Duration = .seconds(30)
    ) throws -> TokenSource {
        let source = try TokenSource(loop: loop, token: first, storage: storage, refreshTimeout: timeout) {
            [unowned self] _, reply in
            asked += 1
            answers.append(reply)
        }
        for name in [.tokenRefreshed, .tokenRefreshFailed, .tokenCleared] as [EventName] {
            source.on(name) { [unowned self] in heard.append($0.name.rawValue) }
        }
        return source
    }

    private func turn(_ what: String, until condition: () -> Bool) throws {
        let isDone = try loop.run(until: condition, for: .seconds(10))
        try #require(isDone, "in time: \(what)")
    }

    @Test("asks the provider once, however many wait")
    func single() throws {
        let source = try source()
        defer { source.close() }
        var got: [String] = []
        for isForced in [false, true, false] {
            source.request(isForced: isForced) { got.append((try? $0.get().compact) ?? "none") }
        }
        try turn("asked") { asked == 1 }
        let new = token("new")
        answers[0](.success(new))
        #expect(got == [new, new, new])
        #expect(heard == ["token:refreshed"])
        source.request { got.append((try? $0.get().compact) ?? "none") }
        try turn("at hand") { got.count == 4 }
        #expect(asked == 1)
    }

    @Test("a refusal fails all who wait, and clears the token")
    func refused() throws {
        let storage = MemoryTokenStorage()
        let source = try source(token("old"), storage: storage)
        defer { source.close() }
        var failures: [TokenFailure] = []
        for _ in 0..<3 {
            source.request(isForced: true) { if case .failure(let failure) = $0 { failures.append(failure) } }
        }
        try turn("asked") { asked == 1 }
        answers[0](.failure(.refused("No.")))
        #expect(failures == [.refused("No."), .refused("No."), .refused("No.")])
        #expect(heard == ["token:refresh:failed", "token:cleared"])
        #expect(source.token == nil)
        #expect(storage.load() == nil)
    }

    @Test("a provider that does not answer is unavailable; a late answer is ignored")
    func timeout() throws {
        let source = try source(token("old", lasts: 30), timeout: .milliseconds(20))
        defer { source.close() }
        var got: [String] = []
        source.request { got.append((try? $0.get().compact) ?? "none") }
        source.request(isForced: true) { got.append((try? $0.get().compact) ?? "none") }
        try turn("the time-out") { got.count == 2 }
        #expect(got == [source.token?.compact, "none"], "the one at hand is still good, unless it was refused")
        answers[0](.success(token("late")))
        #expect(source.token?.compact != token("late"))
        #expect(heard == ["token:refresh:failed"])
    }

    @Test("the timer renews what is about to expire")
    func timer() throws {
        let source = try source(token("old", lasts: 61))
        defer { source.close() }
        try turn("asked by itself") { asked == 1 }
        answers[0](.success(token("new")))
        #expect(heard == ["token:refreshed"])
    }

    @Test("refuses a provider's answer that is not a token", arguments: ["", "nonsense", "a.b.c"])
    func shape(text: String) throws {
        let source = try source()
        defer { source.close() }
        var failure: TokenFailure?
        source.request { if case .failure(let error) = $0 { failure = error } }
        try turn("asked") { asked == 1 }
        answers[0](.success(text))
        #expect(failure == .malformed)
        #expect(throws: TokenFailure.malformed) { try source.set(text) }
        #expect(throws: TokenFailure.malformed) { try TokenSource(loop: self.loop, token: text) }
    }

    @Test("when it is closed, it answers the waiting callers and releases the loop")
    func close() throws {
        var source: TokenSource? = try source(token("old"))
        weak let reference = source
        var failure: TokenFailure?
        source?.request(isForced: true) { if case .failure(let error) = $0 { failure = error } }
        try turn("asked") { asked == 1 }
        source?.close()
        source = nil
        try turn("told") { failure != nil }
        answers = []
        try loop.turn(timeout: .zero)
        #expect(reference == nil)
    }

    @Test("keeps the token in a file that only its owner can read, and finds it again")
    func file() throws {
        let folder = try TestFolder()
        let path = folder.path + "/token"
        let first = token("first")
        let source = try source(first, storage: FileTokenStorage(path: path))
        var information = stat()
        #expect(stat(path, &information) == 0)
        #expect(information.st_mode & 0o777 == 0o600)
        source.close()

        let again = try self.source(storage: FileTokenStorage(path: path))
        #expect(again.token?.compact == first)
        again.request(isForced: true) { _ in }
        try turn("asked") { asked == 1 }
        let second = token("second")
        answers[0](.success(second))
        #expect(FileTokenStorage(path: path).contents == second)
        try again.clear()
        #expect(heard.suffix(1) == ["token:cleared"])
        #expect(FileTokenStorage(path: path).contents == nil)
        #expect(access(path, F_OK) != 0)
        again.close()
    }

    @Test("an unusable file is reported in one sentence")
    func badFiles() throws {
        let folder = try TestFolder()
        #expect(throws: StorageError.self) { try FileTokenStorage(path: folder.path).load() }
        #expect(throws: StorageError.self) { try FileTokenStorage(path: folder.path + "/none/token").save("x") }
        let path = try folder.write("\u{0}", to: "odd")
        #expect(throws: TokenFailure.malformed) {
            try TokenSource(loop: self.loop, storage: FileTokenStorage(path: path))
        }
    }
}

extension FileTokenStorage {
    fileprivate var contents: String? { (try? load()) ?? nil }
}
