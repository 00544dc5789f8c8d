// fynlo send: one message, one answer.

import FynloClient
import FynloCore
import FynloIO
import Glibc

enum SendCommand {
    static let help = """
        fynlo send: sends one message and waits for its answer.

        Usage:
          fynlo send --restaurant UUID [options] TYPE JSON-DATA

          fynlo send --restaurant UUID order.status_update '{"order_id":"…","status":"ready"}'
          fynlo send --restaurant UUID kitchen.item_ready '{"item":"soup"}'

        JSON-DATA is a JSON object; - reads it from standard input. The answer is a sentence on a terminal, elsewhere
        the server's message as it came, in JSON.

          --id ID                 the message's id [a new one]; the same id again changes nothing and gets the same answer

        \(ConnectionOptions.help)
        \(ExitCode.help)
        """

    static func run(_ words: [String]) throws(UsageError) -> Int32 {
        let arguments = try Arguments(words, flags: ConnectionOptions.flags + ["--id"])
        guard arguments.words.count == 2 else {
            throw UsageError("Write fynlo send --restaurant UUID TYPE JSON-DATA; see fynlo send --help.")
        }
        let options = try ConnectionOptions(arguments, name: "fynlo-send")
        var settings = options.settings
        settings.isReconnecting = false
        let data = try readData(arguments.words[1])
        do {
            let loop = try EventLoop()
            let sending = Sending(loop: loop, client: Client(loop: loop, settings: settings, tls: options.tls))
            sending.start(arguments.words[0], data: data, id: arguments["--id"])
            try loop.run()
            return sending.exitCode
        } catch {
            Console.note(error.description)
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

/// The one message of a process.
private final class Sending {
    private(set) var exitCode = ExitCode.unconnected
    private let loop: EventLoop
    private let client: Client
    private var isOver = false

    init(loop: EventLoop, client: Client) {
        self.loop = loop
        self.client = client
    }

    func start(_ type: String, data: String, id: String?) {
        client.onConnect = { [unowned self] _ in
            client.send(type, data: data, id: id) { [unowned self] in answered($0) }
        }
        client.onDisconnect = { [unowned self] closure, _ in
            finish(ExitCode.unconnected, closure.refusal?.sentence ?? closure.reason)
        }
        client.connect()
    }

    private func answered(_ result: Result<CommandOutcome, ClientError>) {
        switch result {
        case .success(.acknowledged(let sequence, let message)):
            let event = sequence.map { " It is event \($0)." } ?? ""
            print(message, "Done.\(event)")
            finish(ExitCode.done, nil)
        case .success(.refused(let error, let message)):
            print(message, "\(error.code): \(error.sentence)")
            finish(ExitCode.refused, nil)
        case .success(.timedOut):
            finish(
                ExitCode.unconnected,
                "No answer came in time; with the same --id the message can safely be sent again.")
        case .failure(.refused(let refusal)):
            finish(ExitCode.usage, refusal.sentence)
        case .failure(let error):
            finish(ExitCode.unconnected, error.description)
        }
    }

    private func print(_ message: ReceivedMessage, _ sentence: String) {
        _ = Console.write(
            Console.isTerminal ? Console.printable(Array(sentence.utf8)) + [0x0a] : Console.jsonLine(message.json))
    }

    private func finish(_ code: Int32, _ sentence: String?) {
        guard !isOver else { return }
        isOver = true
        exitCode = code
        if let sentence { Console.note(sentence) }
        client.close()
        loop.stop()
    }
}
