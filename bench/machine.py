"""The machine: its cores, the resources that processes use, and how to start and stop processes."""
import os
import platform
import re
import signal
import socket
import subprocess
import time


class Cores:
    """The server under test has the first core to itself; everything else uses the others."""

    def __init__(self):
        cores = sorted(os.sched_getaffinity(0))
        self.server, self.load = cores[:1], cores[1:] or cores
        self.are_apart = len(cores) > 1

    def take_load(self):
        """Puts this process on the load's cores, and with it its children unless they choose another core."""
        os.sched_setaffinity(0, self.load)


class Quiet:
    """Checks between the runs whether the machine does other work, and waits until it is idle, for a limited time in all."""

    # The share of all cores together.
    ENOUGH = 0.1
    LOOK = 0.25

    def __init__(self, patience):
        self.patience = patience
        self.seen = []

    @staticmethod
    def times():
        with open("/proc/stat") as file:
            fields = [int(field) for field in file.readline().split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    def wait(self):
        while True:
            total, idle = self.times()
            time.sleep(self.LOOK)
            later, idle_later = self.times()
            busy = 1 - (idle_later - idle) / max(1, later - total)
            if busy <= self.ENOUGH or self.patience <= 0:
                self.seen.append(busy)
                return
            self.patience -= self.LOOK

    def describe(self):
        mean = sum(self.seen) / len(self.seen) if self.seen else 0
        return f"Other work took {mean:.0%} of the machine, as seen between the runs."


def describe():
    """The kind of machine, in one line."""
    with open("/proc/cpuinfo") as file:
        text = file.read()
    found = re.search(r"^model name\s*: (.*)$", text, re.M)
    model = found[1].strip() if found else platform.machine()
    is_virtual = re.search(r"^flags\s*:.*\bhypervisor\b", text, re.M)
    virtual = ", virtual" if is_virtual else ""
    return f"{model}{virtual}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}"


def free_port():
    """A port of 127.0.0.1 below those that the kernel gives to clients."""
    for port in range(9300, 9900):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("No port from 9300 to 9899 of 127.0.0.1 is free.")


def go_first():
    """For this process: where sessions share a core by turns (sched(7), autogroup), for the session too."""
    os.setsid()
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        with open("/proc/self/autogroup", "w") as file:
            file.write("-20")
    except OSError:
        pass


class Process:
    """A child that is stopped, by its own ID, at the latest when the bench ends."""

    running = []

    def __init__(self, command, cores=None, environment=None, first=False, **options):
        """`first`: before all others that want the core, if this user may ask for that."""
        def prepare():
            if cores:
                os.sched_setaffinity(0, cores)
            if first:
                go_first()

        self.child = subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, preexec_fn=prepare, **options)
        self.pid = self.child.pid
        Process.running.append(self)

    def wait_for_port(self, port, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise SystemExit(f"{self.child.args[0]} has ended with {self.child.returncode}.")
            try:
                return socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                time.sleep(0.02)
        raise SystemExit(f"{self.child.args[0]} does not listen on port {port}.")

    def stop(self):
        if self in Process.running:
            Process.running.remove(self)
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    @classmethod
    def stop_all(cls):
        for process in list(cls.running):
            process.stop()


def stop_on_signals():
    """Makes TERM end the bench like Ctrl-C, through its `finally`."""
    def leave(number, _):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def cpu_seconds(pid):
    """User and system time of all threads of a process so far, to the nanosecond (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def anonymous_kib(pid):
    """The process' anonymous memory (Pss_Anon of smaps_rollup)."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss_Anon:"))


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
