"""The latency of pings at a fixed rate, undisturbed and under disturbances; and the longest turn of the server's loop."""
import json
import os
import re
import subprocess
import sys
import urllib.request

import contestants
import data
import load
import machine

CONNECTIONS = 1_000
STORM = 5_000
SHARES = (0.5, 0.8)
SECONDS = 5
TROUBLES = ("in peace", "5,000 tablets cut off and back, again and again", "10 slow consumers")


def longest_turn(server):
    """Milliseconds, of the last minute or two: of the server's whole life, if that was shorter."""
    with urllib.request.urlopen(server.url + "/metrics") as response:
        text = response.read().decode()
    return float(re.search(r"^fynlo_loop_longest_turn_seconds (\S+)", text, re.M)[1]) * 1000


class Latency:
    def __init__(self, bench):
        self.bench = bench
        folder = bench.folder
        # Other restaurants than those of the pings.
        self.others = data.write_accounts(os.path.join(folder, "others"), range(CONNECTIONS, CONNECTIONS + STORM))
        self.deaf = data.write_accounts(
            os.path.join(folder, "deaf"), range(CONNECTIONS + STORM, CONNECTIONS + STORM + data.PER_RESTAURANT))

    def start(self, kind):
        options = {"FYNLO_MAX_UNAUTHENTICATED": "19000"} if kind is contestants.Ours else {}
        server = kind(self.bench, **options)
        # A turn during which another process had the core says nothing about the server.
        server.is_first = True
        return server.start()

    def capacity(self, server):
        """Pings per second that the server could answer if it did nothing else: by the CPU that one costs."""
        report = load.fynlo(
            self.bench, server, "ping", "--connections", CONNECTIONS, "--duration", f"{self.bench.seconds}s")
        return 1 / (report["server_process"]["cpu_seconds"] / report["ping"]["answered"])

    def ping(self, server, rate, seconds=SECONDS):
        """The report of one run at a fixed rate."""
        words = load.command(
            self.bench, server, "ping", "--connections", CONNECTIONS, "--rate", int(rate), "--duration", f"{seconds}s")
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        if not done.stdout:
            raise load.Failed(done.stderr.strip())
        return json.loads(done.stdout)

    def trouble(self, server, name):
        """Starts the disturbance beside the pings, if there is one."""
        if name == TROUBLES[1]:
            return load.Storms(self.bench, server, STORM, self.others)
        if name == TROUBLES[2]:
            script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "deaf.py")
            return machine.Process([
                sys.executable, script, "--url", server.url, "--accounts", self.deaf, "--seconds", "60"])
        return None

    def one(self, kind, share, name):
        """One line: with a server of its own, since its longest turn is that of a minute."""
        self.bench.quiet.wait()
        server = self.start(kind)
        beside = None
        try:
            rate = self.rates[kind] * share
            beside = self.trouble(server, name)
            report = self.ping(server, rate)
            turn = longest_turn(server) if kind is contestants.Ours else None
        finally:
            if beside:
                beside.stop()
            server.stop()
        if turn is None:
            turn = server.longest_turn
        found = report["ping"]["latency_ms"]
        lost = report["ping"]["lost"] + report["connections"]["lost"] + report["connections"]["failed"]
        cells = [
            server.title, name, f"{share:.0%}", f"{report['ping']['per_second']:,.0f}", f"{found['p50']:.2f}",
            f"{found['p99']:.2f}", f"{found['p99.9']:.2f}", f"{found['max']:.1f}", f"{turn:.1f}",
            f"{report['server_process']['cores']:.2f}", f"{report['load_maker']['cores']:.2f}", str(lost)]
        return "| " + " | ".join(cells) + " |"

    def run(self, runs):
        kinds = (contestants.LimitWithTurns, contestants.Ours)
        self.rates = {}
        for kind in kinds:
            server = self.start(kind)
            try:
                load.fynlo(self.bench, server, "ping", "--connections", CONNECTIONS, "--duration", "500ms")
                self.rates[kind] = self.capacity(server)
            finally:
                server.stop()
        lines = [
            "| pings, ms | beside them | of capacity | pongs/s | p50 | p99 | p99.9 | longest | longest turn | server's CPU "
            "| load's CPU | lost |", "|" + " --- |" * 12]
        for name in TROUBLES:
            for share in SHARES:
                for kind in kinds:
                    lines.append(self.one(kind, share, name))
        rates = ", ".join(f"{kind.title} {self.rates[kind]:,.0f}/s" for kind in kinds)
        return f"Capacity, by the CPU of a ping over {CONNECTIONS:,} connections: {rates}.\n\n" + "\n".join(lines)
