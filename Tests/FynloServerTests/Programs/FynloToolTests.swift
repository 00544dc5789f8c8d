import FynloCore
import Testing

@testable import FynloCLI

@Suite("What the fynlo command is made of")
struct FynloToolTests {
    // MARK: Words

    @Test("reads flags with their values, switches, and words")
    func arguments() throws {
        let read = try Arguments(
            ["a", "--x", "1", "--all", "--y=2=3", "-", "--", "--x"], flags: ["--x", "--y"], switches: ["--all", "--no"])
        #expect(read["--x"] == "1" && read["--y"] == "2=3" && read["--z"] == nil)
        #expect(read.has("--all") && !read.has("--no"))
        #expect(read.words == ["a", "-", "--x"])
        #expect(try read.integer("--x", in: 1...5) == 1 && read.integer("--z", in: 1...5) == nil)
    }

    @Test(
        "refuses what it does not know, in a sentence that never has a token in it",
        arguments: [
            ["--z"], ["--x"], ["--x", "1", "--x", "2"], ["--all=1"], ["--token", "secret"], ["--token=secret"],
        ])
    func refusedArguments(words: [String]) {
        do throws(UsageError) {
            _ = try Arguments(words, flags: ["--x"], switches: ["--all"])
            Issue.record("taken")
        } catch {
            #expect(error.sentence.hasSuffix(".") && !error.sentence.contains("secret"))
        }
    }

    @Test(
        "reads durations with a unit, and writes them in the largest whole one",
        arguments: [
            ("0", Duration.zero, "0s"), ("500ms", .milliseconds(500), "500ms"), ("90s", .seconds(90), "90s"),
            ("120s", .seconds(120), "2m"), ("2h", .seconds(7_200), "2h"), ("7d", .seconds(604_800), "7d"),
        ])
    func durations(text: String, duration: Duration, written: String) {
        #expect(Duration(text: text) == duration && duration.text == written)
    }

    @Test(
        "takes nothing else for a duration", arguments: ["", "5", "s", "-1s", "1.5s", "1 s", "99999999999999999999d"])
    func noDurations(text: String) {
        #expect(Duration(text: text) == nil)
    }

    // MARK: Output

    @Test("lines columns up, cuts the one that may be cut, and lets no server command the terminal")
    func table() {
        var table = Table([
            .init(heading: "NAME", isFlexible: true), .init(heading: "PRICE", isNumber: true), .init(heading: "ID"),
        ])
        table.append(["Guacamole with totopos and lime", "6.50", "a"])
        table.append(["寿司", "12.00", "b\u{1b}[2J"])
        let lines = String(decoding: table.bytes(width: 30, hasColour: false), as: UTF8.self).split(separator: "\n")
        #expect(lines[0] == "NAME              PRICE  ID")
        #expect(lines[1] == "Guacamole with …   6.50  a")
        #expect(lines[2].hasPrefix("寿司  ") && lines[2].hasSuffix("12.00  b [2J"))
        #expect(!lines.joined().contains("\u{1b}"))
    }

    @Test(
        "writes numbers with exactly the decimals that are wanted",
        arguments: [
            (0.0, 3, "0.000"), (1.0005, 3, "1.001"), (-0.0001, 3, "0.000"), (-2.5, 1, "-2.5"), (1234.5, 0, "1235"),
            (.infinity, 1, "0"), (.nan, 1, "0"),
        ])
    func decimals(number: Double, digits: Int, text: String) {
        #expect(LoadValue.fixed(number, digits) == text)
    }

    @Test("groups digits", arguments: [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")])
    func grouping(number: Int, text: String) {
        #expect(LoadValue.grouped(number) == text)
    }

    @Test("writes a result as JSON, in its order, and as lines")
    func result() throws {
        let result: LoadResult = [
            "name": .text("a\"b"), "inner": .group(["n": .integer(1), "x": .decimal(1.5, 2)]), "ok": .boolean(true),
        ]
        var json = ByteBuffer()
        result.append(to: &json)
        #expect(try Document(json.bytes())["inner"]["n"].integer == 1)
        #expect(String(decoding: json.bytes(), as: UTF8.self).hasSuffix("\"x\":1.50},\"ok\":true}"))
        #expect(result.lines().count == 3 && result.lines()[1].hasSuffix("n 1  x 1.50"))
    }

    @Test("pads prices to cents as they are written", arguments: [("1", "1.00"), ("1.5", "1.50"), ("1.25", "1.25")])
    func money(written: String, shown: String) throws {
        let record = try #require(JSONRecord(Array("{\"price\":\(written),\"none\":null}".utf8)))
        #expect(record.money("price") == shown && record.money("none").isEmpty)
    }

    // MARK: Measuring

    @Test("tells messages of a measurement from all others")
    func messages() {
        func read(_ text: String) -> LoadMessage { LoadMessage(Array(text.utf8).span) }
        guard case .pong(due: 17) = read(#"{"id":"x","type":"pong","data":{"timestamp":"t","echo":{"n":17}}}"#),
            case .event(number: 3, due: 9) = read(#"{"type":"kitchen.item_ready","data":{"n":9,"k":3}}"#),
            case .ping = read(#"{"type":"ping","data":{}}"#), case .error = read(#"{"type":"error","data":{}}"#)
        else {
            Issue.record("not told")
            return
        }
        for text in ["", "[]", "{}", #"{"type":"pong","data":{}}"#, #"{"type":5,"data":{}}"#, #"{"type":"pong"}"#] {
            guard case .other = read(text) else {
                Issue.record("\(text)")
                continue
            }
        }
    }

    @Test("hands out what is due at a rate, and tells when it was due to who comes late")
    func rate() {
        let start = Instant(nanoseconds: 1_000)
        var rate = LoadRate(perSecond: 1_000, start: start)
        #expect(rate.takeDue(now: start) == start)
        #expect(rate.takeDue(now: start) == nil)
        // As late as a timer is anyway: the message goes out, and counts from, now.
        let now = start + .milliseconds(2)
        #expect(rate.takeDue(now: now) == now && rate.takeDue(now: now) == now && rate.takeDue(now: now) == nil)
        // Held up for long: it counts from when it should have gone out.
        let late = start + .milliseconds(100)
        #expect(rate.takeDue(now: late) == start + .milliseconds(3))
        var count = 1
        while rate.takeDue(now: late) != nil { count += 1 }
        #expect(count == 98)
    }

    @Test("lets connections wait for their time, each once")
    func agenda() {
        let start = Instant(nanoseconds: 5)
        var agenda = LoadAgenda(start: start)
        for number in 0..<100 { agenda.add(number, at: start + .milliseconds(Int64(number * 7 % 100) * 10)) }
        #expect(agenda.takeDue(now: start + .milliseconds(5)).isEmpty)
        var seen: [Int] = []
        for step in 1...101 { seen += agenda.takeDue(now: start + .milliseconds(Int64(step) * 10)) }
        #expect(seen.sorted() == Array(0..<100) && agenda.count == 0)
        agenda.add(7, at: start)
        #expect(agenda.takeDue(now: start + .seconds(2)) == [7])
    }
}
