"""Measures the time from exec to READY=1, the program's size, and its memory at that time."""
import os
import socket
import statistics
import time

import contestants
import machine
from load import Failed


class StartUp:
    def __init__(self, bench):
        self.bench = bench

    def once(self):
        """Milliseconds and KiB, with the migrations current."""
        path = os.path.join(self.bench.folder, "notify")
        if os.path.exists(path):
            os.unlink(path)
        ours = contestants.Ours(self.bench)
        ours.port = machine.free_port()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(20)
            began = time.monotonic()
            process = machine.Process(
                ours.command(), self.bench.cores.server, {**ours.environment(), "NOTIFY_SOCKET": path})
            try:
                while b"READY=1" not in notify.recv(4096).split(b"\n"):
                    pass
                return (time.monotonic() - began) * 1000, machine.resident_kib(process.pid)
            except TimeoutError:
                raise Failed("The server was not ready within 20 s.") from None
            finally:
                process.stop()

    def run(self, runs):
        results = [self.once() for _ in range(max(runs, 5))]
        took, memory = (statistics.median(values) for values in zip(*results))
        size = os.path.getsize(self.bench.server)
        return "\n".join((
            "| start-up | | wanted |", "| --- | --- | --- |",
            f"| exec to ready, migrations current | {took:.0f} ms | ≤ 100 ms |",
            f"| the program, as it was built | {size / 2**20:.1f} MiB | |",
            f"| resident memory when ready | {memory / 1024:.1f} MiB | |"))
