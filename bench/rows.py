"""The rows of the table: what is measured, for which contestants, and the goal."""
import json
import os
import signal
import statistics
import time
import urllib.request

import contestants
import data
import load
import machine


class Row:
    """One row. `measure` returns one figure of a running contestant; the median of several is shown."""

    key = title = None
    unit = "µs"
    digits = 1
    # The contestants, by their classes; the first is the yardstick, the second is ours.
    who = (contestants.Limit, contestants.Ours, contestants.Node, contestants.FastAPI)
    # The contestant whose figure ours is divided by, and the limit of the ratio (a minimum if more is better). None: see `most`.
    yardstick, target, more_is_better = "limit", None, False
    # The largest acceptable figure of ours, regardless of the others.
    most = None
    # How many times the others' runs: more where what is wanted lies within what the machine does from one run to the next.
    rounds = 1

    def __init__(self, bench):
        self.bench = bench
        self.values = {}
        self.load_cores = 0.0

    def make(self):
        return [kind(self.bench) for kind in self.who if kind.key in self.bench.wanted]

    def prepare(self):
        """Before the contestants start."""

    def warm(self, contestant):
        """So that nothing is measured that happens once."""
        self.measure(contestant)

    def measure(self, contestant):
        raise NotImplementedError

    def run(self, runs):
        self.prepare()
        servers = self.make()
        try:
            for server in servers:
                server.start()
            for server in servers:
                self.warm(server)
            self.values, self.load_cores = {server.key: [] for server in servers}, 0.0
            for _ in range(runs * self.rounds):
                for server in servers:
                    self.bench.quiet.wait()  # for what is still being closed, too
                    self.values[server.key].append(self.measure(server))
        finally:
            for server in servers:
                server.stop()
        return self

    # The results.

    def value(self, key):
        values = self.values.get(key)
        return statistics.median(values) if values else None

    @property
    def ratios(self):
        """The ratio of each run: the machine's speed changes between runs, but is the same for both within one."""
        return [mine / other for mine, other in zip(self.values.get("ours", ()), self.values.get(self.yardstick, ()))]

    @property
    def ratio(self):
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def spread(self):
        """The range that contains half of the runs' ratios."""
        if len(self.ratios) < 3:
            return None
        first, _, third = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return first, third

    @property
    def wanted(self):
        if self.most is not None:
            return f"≤ {self.most:g} {self.unit}"
        if self.target is None:
            return ""
        sign = "≥" if self.more_is_better else "≤"
        return f"{sign} {self.target:g} × {self.yardstick_title}"

    yardstick_title = "limit"

    @property
    def is_reached(self):
        """None if there is no goal or a figure is missing."""
        if self.most is not None:
            return self.value("ours") <= self.most if self.value("ours") is not None else None
        if self.target is None or self.ratio is None:
            return None
        return self.ratio >= self.target if self.more_is_better else self.ratio <= self.target

    def report(self, found):
        self.load_cores = max(self.load_cores, found)


class Messages(Row):
    """CPU of the server per message."""

    scenario, figure, count = "ping", "ping", "answered"
    options = ()

    def measured(self, contestant, report):
        """Other figures of a report."""

    def measure(self, contestant):
        report = load.fynlo(
            self.bench, contestant, self.scenario, *self.options, "--duration", f"{self.bench.seconds}s")
        self.report(report["load_maker"]["cores"])
        self.measured(contestant, report)
        return report["server_process"]["cpu_seconds"] * 1e6 / report[self.figure][self.count]


class Ping(Messages):
    key, title = "ping", "ping, 1,000 connections, one at a time"
    target = 1.25
    options = ("--connections", 1000)


class PipelinedPing(Messages):
    key, title = "pipelined", "ping, 200 connections, 8 outstanding"
    digits = 2
    target = 2
    options = ("--connections", 200, "--outstanding", 8)


class FanOut(Messages):
    key, title = "fan-out", "transient event to 20 tablets, per delivery"
    digits, rounds = 2, 2
    target = 1.1
    scenario, figure, count = "fan-out", "fan_out", "deliveries"
    options = ("--connections", 1000)


class Connect(Row):
    """CPU from the connection to `authenticated`; ours looks the user up in PostgreSQL, the others need not."""

    key, title = "connect", "connect + upgrade + authenticate (ours: user looked up in PostgreSQL)"
    target = 3

    def measure(self, contestant):
        connections = 2000 if contestant.key == "fastapi" else 5000
        report = load.fynlo(self.bench, contestant, "storm", "--connections", connections)
        self.report(report["load_maker"]["connect_cores"])
        return report["server_process"]["connect_cpu_seconds"] * 1e6 / connections


class Back(Row):
    """All at once: the server's processor, the load's, and for ours PostgreSQL's on the load's core."""

    key, title, unit = "back", "5,000 tablets cut off at once: until the last one is authenticated", "s"
    digits = 2
    who = (contestants.Limit, contestants.Ours, contestants.Node)
    yardstick, yardstick_title, target = "node", "Node", 1

    def make(self):
        # With a small limit of descriptors, a quarter of it is less than 5,000.
        options = {contestants.Ours: {"FYNLO_MAX_UNAUTHENTICATED": "19000"}}
        return [
            kind(self.bench, **options.get(kind, {})) for kind in self.who if kind.key in self.bench.wanted]

    def measure(self, contestant):
        report = load.fynlo(self.bench, contestant, "reconnect", "--connections", 5000, "--at-once")
        self.report(report["load_maker"]["cores"])
        return report["reconnect"]["seconds"]


class Memory(Row):
    """Anonymous memory of the process (Pss_Anon), for all contestants at the same time."""

    key, title, unit = "memory", "memory per idle connection, authenticated", "KiB"
    digits = 2
    most = 0.6
    connections = 10_000
    # The server releases memory some seconds after many tablets have left.
    patience = 13

    def run(self, runs):
        """Measured once, since memory varies less than times."""
        self.prepare()
        servers, holding = self.make(), []
        try:
            before = {}
            for server in servers:
                server.start()
                load.fynlo(self.bench, server, "storm", "--connections", 200)
            time.sleep(1)
            for server in servers:
                before[server.key] = machine.anonymous_kib(server.pid)
                holding.append(load.fynlo_beside(
                    self.bench, server, "idle", "--connections", self.connections, "--concurrency", 100,
                    "--duration", "5m"))
                self.wait_until_there(server)
            time.sleep(self.patience)
            for server in servers:
                more = machine.anonymous_kib(server.pid) - before[server.key]
                self.values[server.key] = [more / self.connections]
            for process, server in zip(holding, servers):
                process.child.send_signal(signal.SIGTERM)
                connected = json.loads(process.child.communicate(timeout=30)[0])["connections"]["connected"]
                if connected != self.connections:
                    raise load.Failed(f"{server.title}: {connected} of {self.connections} were let in.")
        finally:
            for process in holding + servers:
                process.stop()
        return self

    def wait_until_there(self, server):
        end = time.monotonic() + 60
        while len(os.listdir(f"/proc/{server.pid}/fd")) < self.connections:
            if time.monotonic() > end:
                raise load.Failed(f"{server.title}: not all connections came to be within a minute.")
            time.sleep(0.1)
        time.sleep(1)


class MemoryTLS(Memory):
    key, title = "memory-tls", "the same with TLS"
    most = 18
    digits = 1
    who = (contestants.OursTLS,)


class Menu(Row):
    """CPU per request of a page that the server has at hand; with a token, nginx without."""

    key, title = "menu", "warm menu page of {size:,} bytes (limit: nginx, static file)"
    target, yardstick_title = 1.2, "nginx"
    who = (contestants.Nginx, contestants.Ours)

    def prepare(self):
        self.bench.database.prepare_menu()
        self.token = data.token("bench-owner")
        self.target_path = menu_target(data.MENU_RESTAURANTS[0], 1, 48)

    def make(self):
        ours = contestants.Ours(self.bench).start()
        request = urllib.request.Request(ours.url + self.target_path, headers={"Authorization": "Bearer " + self.token})
        with urllib.request.urlopen(request) as response:
            body = response.read()
        ours.stop()
        self.title = self.title.format(size=len(body))
        return [contestants.Nginx(self.bench, body), contestants.Ours(self.bench)]

    def measure(self, contestant):
        is_ours = contestant.key == "ours"
        _, each, cores = load.wrk(
            contestant.url, [self.target_path if is_ours else "/page.json"], self.bench.seconds, contestant.pid,
            self.token if is_ours else None)
        self.report(cores)
        return each * 1e6


class Statement(contestants.Contestant):
    """pgbench, which is its own client and needs no server of ours."""

    key, title = "limit", "pgbench"

    def start(self):
        return self

    def stop(self):
        pass


class ColdMenu(Row):
    """Time per page with nothing at hand: PostgreSQL is asked for each of 2,000 pages in turn, four at a time."""

    key, title = "menu-cold", "cold menu page, time per page (limit: the statement in pgbench, 4 clients)"
    digits = 0
    target, yardstick_title = 1.3, "pgbench"

    def prepare(self):
        self.bench.database.prepare_menu()
        self.token = data.token("bench-owner")
        self.targets = [
            menu_target(r, p, n) for p in range(1, 11) for n in range(48, 53) for r in data.MENU_RESTAURANTS]
        sql = data.statement("MenuRepository.swift", r'func page\(_ name.*?"""\n(.*?)"""')
        sql = sql.replace(
            "\\(filter)", data.statement("MenuRepository.swift", r'page\("menu_page", "(.*?)"\)'))
        for name, value in [
            ("$1", "id('8000', :restaurant)"), ("$2", ":limit"), ("$3", "(:page - 1) * :limit"), ("$4", "null"),
        ]:
            sql = sql.replace(name, value)
        self.script = os.path.join(self.bench.folder, "menu.sql")
        with open(self.script, "w") as file:
            first, last = data.MENU_RESTAURANTS[0], data.MENU_RESTAURANTS[-1]
            file.write(f"\\set restaurant random({first}, {last})\n\\set page random(1, 10)\n\\set limit random(48, 52)\n")
            file.write(sql + ";\n")

    def make(self):
        return [Statement(self.bench), contestants.Ours(self.bench, REDIS_URL="")]

    def measure(self, contestant):
        if contestant.key == "limit":
            rate = self.bench.database.pgbench(self.script, 4, self.bench.seconds)
        else:
            rate, _, cores = load.wrk(contestant.url, self.targets, self.bench.seconds, contestant.pid, self.token)
            self.report(cores)
        return 1e6 / rate


class RedisMenu(ColdMenu):
    """Time per page where only Redis has them: 2,000 pages in turn, more than the process keeps copies of."""

    key, title = "menu-redis", "menu page from Redis, time per page"
    target = None

    def make(self):
        return [contestants.Ours(self.bench)]

    def warm(self, contestant):
        for path in self.targets:
            request = urllib.request.Request(
                contestant.url + path, headers={"Authorization": "Bearer " + self.token})
            urllib.request.urlopen(request).close()


class Writes(Row):
    """Changes of orders per second, each committed: every tablet sends the next when it has its `ack`."""

    key, title, unit = "writes", "durable order.status_update, 16 tablets (limit: pgbench, 16 clients)", "per s"
    digits = 0
    target, more_is_better, yardstick_title = 0.8, True, "pgbench"
    per_second = 4_000  # more than there will be

    def prepare(self):
        self.bench.database.prepare_users()
        sql = data.statement("OrderRepository.swift", r'name: "update_order_status",\s*sql: """\n(.*?)"""')
        for name, value in [
            ("$1", "id('8000', :client_id)"), ("$2", f"id('9000', :client_id * {data.PER_RESTAURANT})"),
            ("$3", "'m' || (:n)::text"), ("$4", "id('a000', :n)"), ("$5", "'pending'"), ("$6", "null"),
            ("$7", "604800"),
        ]:
            sql = sql.replace(name, value)
        self.script = os.path.join(self.bench.folder, "status.sql")
        with open(self.script, "w") as file:
            file.write(f"\\set k :k + 1\n\\set n :first + :k * {data.WRITERS} + :client_id\n{sql};\n")
        self.accounts = data.write_accounts(
            os.path.join(self.bench.folder, "writers"), [n * data.PER_RESTAURANT for n in range(data.WRITERS)])

    def make(self):
        return [Statement(self.bench), contestants.Ours(self.bench)]

    def measure(self, contestant):
        count = self.per_second * self.bench.seconds // data.WRITERS * data.WRITERS
        first = self.bench.database.add_orders(count)
        if contestant.key == "limit":
            return self.bench.database.pgbench(
                self.script, data.WRITERS, self.bench.seconds, first=first, k=-1)
        orders = os.path.join(self.bench.folder, "orders")
        with open(orders, "w") as file:
            for n in range(first, first + count):
                file.write(f"{data.identifier('8000', n % data.WRITERS)} {data.identifier('a000', n)}\n")
        report = load.fynlo(
            self.bench, contestant, "orders", "--connections", data.WRITERS, "--orders", orders,
            "--duration", f"{self.bench.seconds}s", accounts=self.accounts)
        self.report(report["load_maker"]["cores"])
        return report["orders"]["per_second"]


class Connections(Messages):
    """Ping over that many connections; memory besides."""

    who = (contestants.Limit, contestants.Ours)
    counts = (1_000, 5_000, 10_000, 18_000)

    def __init__(self, bench, count, who=None):
        super().__init__(bench)
        self.who = who or self.who
        self.connections = count
        self.key = f"ping-{count}"
        self.title = f"ping, {count:,} connections, one at a time"
        self.options = ("--connections", count, "--timeout", "60s")
        # MiB with all connections open, by contestant.
        self.memory = {}

    def measured(self, contestant, report):
        self.memory.setdefault(contestant.key, report["server_process"]["resident_kib"] / 1024)

    def warm(self, contestant):
        """The first measurement is not the servers' first connections."""
        load.fynlo(self.bench, contestant, "ping", "--connections", 200, "--duration", "500ms")


class Growth(Row):
    """How the cost of a ping grows with the connections."""

    key, unit, digits = "growth", "×", 2
    title = "growth of a ping's cost from {:,} to {:,} connections".format(Connections.counts[0], Connections.counts[-1])
    target, rounds = 1, 2

    def run(self, runs):
        self.steps = [Connections(self.bench, count).run(runs * self.rounds) for count in Connections.counts]
        first, last = self.steps[0], self.steps[-1]
        self.load_cores = max(step.load_cores for step in self.steps)
        for key in first.values:
            self.values[key] = [last.value(key) / first.value(key)]
        return self

    @property
    def ratios(self):
        return [last / first for first, last in zip(self.steps[0].ratios, self.steps[-1].ratios)]

    @property
    def ratio(self):
        first, last = self.steps[0].ratio, self.steps[-1].ratio
        return last / first if first and last else None


def menu_target(restaurant, page, limit):
    return f"/api/v1/menu?restaurant_id={data.identifier('8000', restaurant)}&page={page}&limit={limit}"


ROWS = {row.key: row for row in (
    Ping, PipelinedPing, FanOut, Connect, Back, Memory, MemoryTLS, Menu, ColdMenu, RedisMenu, Writes, Growth)}
