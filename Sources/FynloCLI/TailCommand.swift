// fynlo tail: follows a restaurant's events until Ctrl-C, through lost connections.

import FynloClient
import FynloCore
import FynloIO
import Glibc

enum TailCommand {
    static let help = """
        fynlo tail: follows a restaurant's events, until Ctrl-C.

        Usage:
          fynlo tail --restaurant UUID [options]

        On a terminal each event is a line with its time, its number in the restaurant's stream, its type and its data;
        elsewhere each line is the server's message as it came, in JSON. A lost connection is taken up again where it
        ended, which standard error tells. "resync_required" among the events means that some of them are missing.
        A --token-file is read again for each new connection.

        \(ConnectionOptions.help)
        \(ExitCode.help)
        """

    static func run(_ words: [String]) throws(UsageError) -> Int32 {
        let arguments = try Arguments(words, flags: ConnectionOptions.flags)
        if let word = arguments.words.first { throw UsageError("tail takes no \(word); see fynlo tail --help.") }
        let options = try ConnectionOptions(arguments, name: "fynlo-tail")
        do {
            let loop = try EventLoop()
            let tail = try Tail(loop: loop, options: options)
            let signals = try SignalSource(loop: loop, signals: [SIGINT, SIGTERM]) { _ in tail.stop() }
            tail.start()
            try loop.run()
            signals.close()
            loop.close()
            return tail.exitCode
        } catch let error as UsageError {
            throw error
        } catch {
            Console.note("\(error)")
            return ExitCode.unconnected
        }
    }
}

/// The state of a running `tail`.
private final class Tail {
    private(set) var exitCode = ExitCode.done
    private let loop: EventLoop
    private let tokens: TokenSource
    private let client: Client
    private let line = EventLine(hasColour: Console.hasColour)
    private var isFirst = true
    private var isStopping = false

    init(loop: EventLoop, options: ConnectionOptions) throws {
        self.loop = loop
        tokens = try options.tokens(loop: loop)
        client = try Client(loop: loop, settings: options.settings, tokens: tokens, tls: options.tls)
    }

    func start() {
        client.on(.connect) { [unowned self] event in
            if case .connect(let welcome) = event { connected(welcome) }
        }
        client.on(.disconnect) { [unowned self] event in
            if case .disconnect(let closure, let retryIn) = event { disconnected(closure, retryIn: retryIn) }
        }
        client.on(.authError) { event in
            if case .authError(let error) = event { Console.note(error.sentence) }
        }
        client.on(.message) { [unowned self] event in
            if case .message(let message) = event { print(message) }
        }
        client.on(.state) { [unowned self] event in
            // Disconnecting on request needs no message.
            if event == .state(.disconnected), !isStopping { stop(ExitCode.unconnected) }
        }
        client.connect()
    }

    func stop(_ code: Int32 = ExitCode.done) {
        guard !isStopping else { return }
        isStopping = true
        exitCode = code
        client.disconnect()
        tokens.close()
        loop.stop()
    }

    private func connected(_ welcome: Welcome) {
        let place = welcome.sequence.map { ", event \($0) is the newest" } ?? ""
        let missed = (welcome.sequence ?? 0) - (client.lastSequence ?? welcome.sequence ?? 0)
        let resumed = welcome.isResumed && missed > 0 ? "; the \(missed) missed follow" : ""
        Console.note("\(isFirst ? "Connected" : "Connected again")\(place)\(resumed).")
        isFirst = false
    }

    private func disconnected(_ closure: ClientClosure, retryIn: Duration?) {
        guard !isStopping else { return }
        var reason = closure.refusal?.sentence ?? closure.reason
        if reason.hasSuffix(".") { reason.removeLast() }
        let what = "\(isFirst ? "No connection" : "Connection lost") (\(closure.code)): \(reason)."
        switch retryIn {
        case .some(.zero): Console.note("\(what) Trying again with another token.")
        case .some(let retryIn): Console.note("\(what) Trying again in \(retryIn.secondsText) s.")
        case nil: Console.note(what)
        }
    }

    private func print(_ message: ReceivedMessage) {
        guard !isStopping else { return }
        switch message.type {
        case "token_expired":
            return Console.note("The token expires soon.")
        case let type where message.isProtocol && type != "resync_required":
            return
        default:
            let bytes = Console.isTerminal ? line.bytes(of: message) : Console.jsonLine(message.json)
            // The reader is gone, as with `head`.
            if !Console.write(bytes) { stop() }
        }
    }
}
