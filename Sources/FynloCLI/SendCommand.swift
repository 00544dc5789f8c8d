// fynlo send: sends commands and reports their outcomes.

import FynloClient
import FynloCore
import FynloIO
import Glibc

enum SendCommand {
    static let help = """
        fynlo send: sends one message, or many, and waits for the answers.

        Usage:
          fynlo send --restaurant UUID [options] TYPE JSON-DATA
          fynlo send --restaurant UUID [options] --lines < COMMANDS

          fynlo send --restaurant UUID order.status_update '{"order_id":"…","status":"ready"}'
          fynlo send --restaurant UUID kitchen.item_ready '{"item":"soup"}'

        JSON-DATA is a JSON object; - reads it from standard input. The answer is a sentence on a terminal, elsewhere
        the server's message as it came, in JSON.

          --id ID                 the message's id [a new one]; the same id again changes nothing and gets the same answer
          --outbox FILE           keep what is not answered yet in FILE, and send it in order, those of earlier runs first,
                                  waiting for the server as long as it takes; each takes effect once, even if the
                                  program is killed. Without it the first lost connection is the end.
          --lines                 standard input has one command per line, ID TYPE JSON-DATA (an ID of - is a new one);
                                  each change is a line: the state (queued, sent, acknowledged, refused), on a
                                  terminal as text, elsewhere in JSON: {"id", "state", "seq"?, "code"?, "error"?}

        \(ConnectionOptions.help)
        \(ExitCode.help)
        """

    static func run(_ words: [String]) throws(UsageError) -> Int32 {
        let arguments = try Arguments(
            words, flags: ConnectionOptions.flags + ["--id", "--outbox"], switches: ["--lines"])
        let isLines = arguments.has("--lines")
        guard arguments.words.count == (isLines ? 0 : 2), !(isLines && arguments["--id"] != nil) else {
            throw UsageError("Write fynlo send --restaurant UUID TYPE JSON-DATA; see fynlo send --help.")
        }
        let options = try ConnectionOptions(arguments, name: "fynlo-send")
        var settings = options.settings
        settings.session.isReconnecting = arguments["--outbox"] != nil
        let data = isLines ? nil : try readData(arguments.words[1])
        do {
            let loop = try EventLoop()
            let outbox = try arguments["--outbox"].map { try FileOutbox(loop: loop, path: $0) }
            if let outbox, outbox.damagedLines > 0 {
                Console.note("\(outbox.damagedLines) lines of the outbox are damaged; what they held is lost.")
            }
            let tokens = try options.tokens(loop: loop)
            let client = try Client(loop: loop, settings: settings, tokens: tokens, outbox: outbox, tls: options.tls)
            let sending = Sending(loop: loop, client: client, waits: outbox != nil, isLines: isLines)
            let signals = try SignalSource(loop: loop, signals: [SIGINT, SIGTERM]) { _ in sending.interrupt() }
            if let data {
                try sending.start(arguments.words[0], data: data, id: arguments["--id"])
            } else {
                sending.startLines()
            }
            try loop.run()
            signals.close()
            tokens.close()
            loop.close()
            return sending.exitCode
        } catch let error as UsageError {
            throw error
        } catch let error as CommandRefusal {
            throw UsageError(error.sentence)
        } catch {
            Console.note("\(error)")
            return ExitCode.unconnected
        }
    }

    private static func readData(_ word: String) throws(UsageError) -> String {
        var data = word
        if word == "-" {
            guard let bytes = File.read(STDIN_FILENO, limit: 1 << 20), let text = String(validating: bytes.span) else {
                throw UsageError("What standard input holds is not UTF-8.")
            }
            data = text
        }
        guard (try? JSON.scanObject(data.utf8Span.span) { _, _ in }) != nil else {
            throw UsageError("JSON-DATA is not a JSON object, such as '{\"item\":\"soup\"}'.")
        }
        return data
    }
}

/// The commands of a process.
private final class Sending {
    private(set) var exitCode = ExitCode.done
    private let loop: EventLoop
    private let client: Client
    /// How long to wait for a connection, and for the server to be able to answer.
    private let waits: Bool
    private let isLines: Bool
    private var isInputOver = false
    private var isOver = false
    /// The last `ack` or `error` that names a command, and the command's id.
    private var answer: (id: String, message: ReceivedMessage)?
    /// Commands that have been sent at least once.
    private var sent: Set<String> = []
    private var unfinishedLine: [UInt8] = []
    /// True while reading pauses until some commands are answered.
    private var isPaused = false

    /// The number of waiting commands at which reading pauses: another chunk of lines must still fit into the outbox.
    private static let fullOutbox = 200

    init(loop: EventLoop, client: Client, waits: Bool, isLines: Bool) {
        self.loop = loop
        self.client = client
        self.waits = waits
        self.isLines = isLines
    }

    func start(_ type: String, data: String, id: String?) throws(CommandRefusal) {
        listen()
        try client.send(type, data: data, id: id)
        isInputOver = true
        client.connect()
    }

    func startLines() {
        listen()
        client.connect()
        readLines()
    }

    /// Gives up once the patience is used up; the outbox keeps the rest.
    func interrupt() {
        finish(ExitCode.unconnected, "\(client.outbox.waiting.count) commands are not answered yet.")
    }

    private func listen() {
        client.on(.message) { [unowned self] event in
            if case .message(let message) = event, let id = message.commandID { answer = (id, message) }
        }
        client.on(.command) { [unowned self] event in
            if case .command(let id, let state) = event { changed(id, state) }
        }
        client.on(.disconnect) { [unowned self] event in
            if case .disconnect(let closure, let retryIn) = event, !isOver {
                disconnected(closure.refusal?.sentence ?? closure.reason, isTryingAgain: retryIn != nil)
            }
        }
        client.on(.authError) { [unowned self] event in
            if case .authError(let error) = event { finish(ExitCode.unconnected, error.sentence) }
        }
    }

    private func disconnected(_ reason: String, isTryingAgain: Bool) {
        if isTryingAgain { return Console.note("\(reason) Trying again.") }
        if client.state == .disconnected { finish(ExitCode.unconnected, reason) }
    }

    // MARK: Outcomes

    private func changed(_ id: String, _ state: CommandState) {
        if isLines { tell(id, state) }
        let message = answer.flatMap { $0.id == id ? $0.message : nil }
        switch state {
        case .queued:
            guard !waits, sent.contains(id) else { break }
            // The server could not carry it out now.
            if let message, !isLines { write(message, "The server cannot answer now.") }
            return finish(
                message == nil ? ExitCode.unconnected : ExitCode.refused,
                "The outcome is unknown; with the same --id the message can safely be sent again.")
        case .sent:
            sent.insert(id)
        case .acknowledged(let sequence):
            let event = sequence.map { " It is event \($0)." } ?? ""
            if let message, !isLines { write(message, "Done.\(event)") }
        case .refused(let error):
            exitCode = ExitCode.refused
            if isLines { break }
            if let message { write(message, "\(error.code): \(error.sentence)") } else { Console.note(error.sentence) }
        }
        finishIfDone()
    }

    private func finishIfDone() {
        if isPaused, client.outbox.waiting.count < Sending.fullOutbox / 2 {
            isPaused = false
            readLines()
        }
        if isInputOver, client.outbox.waiting.isEmpty { finish(exitCode, nil) }
    }

    private func write(_ message: ReceivedMessage, _ sentence: String) {
        _ = Console.write(
            Console.isTerminal ? Console.printable(Array(sentence.utf8)) + [0x0a] : Console.jsonLine(message.json))
    }

    private func tell(_ id: String, _ state: CommandState) {
        var line = ByteBuffer()
        let name: StaticString
        var detail = ""
        switch state {
        case .queued: name = "queued"
        case .sent: name = "sent"
        case .acknowledged(let sequence):
            name = "acknowledged"
            detail = sequence.map { ",\"seq\":\($0)" } ?? ""
        case .refused(let error):
            name = "refused"
            var members = ByteBuffer()
            members.append(",\"code\":")
            members.append(jsonString: error.code)
            members.append(",\"error\":")
            members.append(jsonString: error.sentence)
            detail = String(decoding: members.bytes(), as: UTF8.self)
        }
        if Console.isTerminal {
            var text = "\(id)  \(name)"
            if case .refused(let error) = state { text += "  \(error.code): \(error.sentence)" }
            if case .acknowledged(let sequence?) = state { text += "  event \(sequence)" }
            _ = Console.write(Console.printable(Array(text.utf8)) + [0x0a])
            return
        }
        line.append("{\"id\":")
        line.append(jsonString: id)
        line.append(",\"state\":\"")
        line.append(name)
        line.append("\"\(detail)}\n")
        _ = Console.write(line.bytes())
    }

    private func finish(_ code: Int32, _ sentence: String?) {
        guard !isOver else { return }
        isOver = true
        exitCode = code
        if let sentence { Console.note(sentence) }
        client.close { [loop] in loop.stop() }
    }

    // MARK: Lines

    /// Standard input may be a file, which epoll does not support, so the helper thread reads it.
    private func readLines() {
        loop.offload {
            var chunk = [UInt8](repeating: 0, count: 16_384)
            let count = read(STDIN_FILENO, &chunk, chunk.count)
            return count > 0 ? Array(chunk.prefix(count)) : []
        } then: { [weak self] bytes in
            guard let self, !isOver else { return }
            unfinishedLine += bytes
            if bytes.isEmpty {
                if !unfinishedLine.isEmpty { submit(unfinishedLine) }
                unfinishedLine = []
                isInputOver = true
                return finishIfDone()
            }
            while let end = unfinishedLine.firstIndex(of: 0x0a) {
                submit(Array(unfinishedLine[..<end]))
                unfinishedLine.removeSubrange(...end)
            }
            if client.outbox.waiting.count < Sending.fullOutbox { readLines() } else { isPaused = true }
        }
    }

    private func submit(_ line: [UInt8]) {
        guard let text = String(validating: line.span) else { return refuse("A line is not UTF-8.") }
        let words = text.split(separator: " ", maxSplits: 2).map(String.init)
        if words.isEmpty { return }
        guard words.count == 3 else { return refuse("A line is ID TYPE JSON-DATA, not \(text).") }
        do throws(CommandRefusal) {
            try client.send(words[1], data: words[2], id: words[0] == "-" ? nil : words[0])
        } catch {
            refuse("\(words[0]): \(error.sentence)")
        }
    }

    private func refuse(_ sentence: String) {
        Console.note(sentence)
        exitCode = ExitCode.usage
    }
}
