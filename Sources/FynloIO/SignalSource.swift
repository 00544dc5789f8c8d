// Signals as ordinary events of the loop, so that their handler may do what any handler may.

import CLinux
public import FynloCore
import Glibc

/// Delivers signals on the loop. They stay blocked in this thread, even after `close`. Create it before other threads start,
/// so that they inherit the mask: otherwise the kernel may deliver a signal there, with its default action.
public final class SignalSource: EventSource {
    private let loop: EventLoop
    private let handler: (Int32) -> Void
    private var descriptor: FileDescriptor?
    private var token: SourceToken?

    /// Calls `handler` with the number of each of `signals` that arrives. The loop keeps the source until `close`.
    public init(loop: EventLoop, signals: [Int32], handler: @escaping (Int32) -> Void) throws(SystemError) {
        self.loop = loop
        self.handler = handler
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        let status = pthread_sigmask(SIG_BLOCK, &set, nil)
        guard status == 0 else { throw .call("pthread_sigmask", code: status) }
        let number = signalfd(-1, &set, Int32(SFD_NONBLOCK | SFD_CLOEXEC))
        guard number >= 0 else { throw .last("signalfd") }
        descriptor = FileDescriptor(owning: number)
        token = try loop.add(self, descriptor: number, interest: .read)
    }

    /// Stops listening; a second call does nothing.
    public func close() {
        if let token { loop.remove(token) }
        token = nil
        descriptor = nil
    }

    public func ready(_ readiness: Readiness, now: Moment) {
        var information = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        // The handler may close the source.
        while let number = descriptor?.rawValue, read(number, &information, size) == size {
            handler(Int32(bitPattern: information.ssi_signo))
        }
    }
}
