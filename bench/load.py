"""The load: `fynlo load` for WebSockets, wrk for the menu, both on the cores that the server does not use."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

import machine


class Failed(Exception):
    """The load lost something, so its measurement is void; the sentence says what."""


def command(bench, contestant, scenario, *options, accounts=None):
    words = [
        bench.fynlo, "load", scenario, contestant.url, "--accounts", accounts or bench.accounts,
        "--server-pid", str(contestant.pid), *map(str, options)]
    if contestant.scheme == "https":
        words += ["--ca-file", contestant.authority]
    return words


def fynlo(bench, contestant, scenario, *options, accounts=None):
    """Runs `fynlo load` and returns its report."""
    words = command(bench, contestant, scenario, *options, accounts=accounts)
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    if not done.stdout:
        raise Failed(f"{contestant.title}: {done.stderr.strip()}")
    report = json.loads(done.stdout)
    if bench.verbose:
        print(f"{contestant.title}: {done.stdout.strip()}", file=sys.stderr)
    if not report["ok"]:
        raise Failed(f"{contestant.title}, {scenario}: {json.dumps(report['connections'])}, {json.dumps(report['errors'])}")
    return report


def fynlo_beside(bench, contestant, scenario, *options, accounts=None):
    """Starts `fynlo load` in the background and returns the process; the report is on its standard output."""
    return machine.Process(
        command(bench, contestant, scenario, *options, accounts=accounts),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def wrk(url, targets, seconds, pid, token=None):
    """Requests per second, CPU seconds per request of the process, and the cores that wrk itself used."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("local targets = {%s}\nlocal next = 0\n" % ",".join(f'"{t}"' for t in targets))
        if token:
            script.write(f'wrk.headers["Authorization"] = "Bearer {token}"\n')
        if len(targets) == 1:
            # Made once: the load must not be the bottleneck.
            script.write("local text\ninit = function() text = wrk.format(nil, targets[1]) end\n")
            script.write("request = function() return text end\n")
        else:
            script.write("request = function() next = next % #targets + 1; return wrk.format(nil, targets[next]) end\n")
        script.flush()
        before, own = machine.cpu_seconds(pid), os.times()
        output = subprocess.run(
            ["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", script.name, url], check=True, capture_output=True,
            text=True).stdout
        used, end = machine.cpu_seconds(pid) - before, os.times()
    if "Non-2xx" in output or "Socket errors" in output:
        raise Failed(f"{url}: not every request was answered well:\n{output}")
    count = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", output)[1])
    cores = (end.children_user + end.children_system - own.children_user - own.children_system) / (end.elapsed - own.elapsed)
    return rate, used / count, cores


class Storms:
    """Connections that are cut off and come back at once, over and over, in the background until they are stopped."""

    def __init__(self, bench, contestant, connections, accounts):
        words = command(
            bench, contestant, "reconnect", "--connections", connections, "--at-once", accounts=accounts)
        loop = 'while "$@" >/dev/null 2>&1; do :; done'
        self.process = machine.Process(["bash", "-c", loop, "storms", *words])

    def stop(self):
        # The shell is held, so that it starts no other child while it and the one it has are ended.
        pid = self.process.pid
        os.kill(pid, signal.SIGSTOP)
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = [int(child) for child in file.read().split()]
        self.process.child.kill()
        self.process.stop()
        for child in children:
            try:
                os.kill(child, signal.SIGTERM)
            except ProcessLookupError:
                pass  # it has just ended by itself
