// Lua scripts, which Redis runs one at a time.

import FynloCore

/// A Lua script, known to Redis by the digest of its text.
struct RedisScript {
    let text: String
    let digest: String

    init(_ text: String) {
        self.text = text
        digest = SHA1.digest(text.utf8Span.span).hexadecimal
    }
}

extension RedisConnection {
    /// Runs a script, sending its text only if Redis does not know it yet. Replies as `send` does.
    func run(
        _ script: RedisScript, keys: [RedisArgument], _ arguments: [RedisArgument], budget: Duration,
        reply: @escaping PendingRequest.Reply
    ) {
        var command: [RedisArgument] = []
        command.reserveCapacity(3 + keys.count + arguments.count)
        command.append("EVALSHA")
        command.append(.text(script.digest))
        command.append(.integer(Int64(keys.count)))
        command += keys
        command += arguments
        send(command, budget: budget) { [weak self] result in
            guard let self, case .success(.error(let text)) = result, text.hasPrefix("NOSCRIPT") else {
                return reply(result)
            }
            self.send(["EVAL", .text(script.text)] + command.dropFirst(2), budget: budget, reply: reply)
        }
    }
}
