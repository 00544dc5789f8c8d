"""A server with a demo restaurant, its staff and tablets, for the tests of the browser and of the examples."""
import base64
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
import uuid

CASA = "11111111-1111-4111-8111-111111111111"
ELIA = "22222222-2222-4222-8222-222222222222"
SECRET = "only for the tests of the console, and for nothing else"


class Person:
    """A user of the demo data."""

    def __init__(self, login, number, restaurant="1"):
        self.subject = f"demo-{login}"
        self.id = f"{restaurant * 8}-{restaurant * 4}-4{restaurant * 3}-8{restaurant * 3}-0{number:011}"

    def token(self, seconds=3600):
        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")
        claims = {"sub": self.subject, "exp": int(time.time()) + seconds}
        signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
        return (signed + b"." + part(hmac.digest(SECRET.encode(), signed, hashlib.sha256))).decode()


MANAGER, WAITER, OTHER_WAITER = Person("jose", 2), Person("liam", 4), Person("aicha", 5)
ELIA_MANAGER = Person("eleni", 2, "2")
PLATFORM_OWNER = Person("olivia", 1, "0")


class Stage:
    """A server process on one port, which can be stopped and restarted, and other servers beside it."""

    def __init__(self, programs, **settings):
        self.programs = programs
        self.environment = {
            "DATABASE_URL": os.environ["DATABASE_URL"], "REDIS_URL": os.environ["REDIS_URL"], "FYNLO_JWT_SECRET": SECRET,
            "FYNLO_LOG_FORMAT": "json", "FYNLO_LOG": "warning", "PATH": os.environ["PATH"],
            # The defaults, but with shorter times.
            "FYNLO_HEARTBEAT_INTERVAL": "1s", "FYNLO_DRAIN_TIMEOUT": "2s",
        } | settings
        self.process, self.tablets, self.others = None, [], []
        self.program("migrate", "up")
        self.program("demo-data")
        self.port = 0
        self.start()

    def program(self, *arguments):
        subprocess.run(
            [f"{self.programs}/fynlo-server", *arguments], env=self.environment, check=True, stdout=subprocess.DEVNULL)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        """Starts the server on the same port as before; returns when it serves."""
        self.process, self.port = self.launch(self.port)

    def start_other(self):
        """One more server for the same restaurants: its process and its address."""
        process, port = self.launch(0)
        self.others.append(process)
        return process, f"http://127.0.0.1:{port}"

    def launch(self, port):
        environment = self.environment | {"FYNLO_LOG": "info"}
        process = subprocess.Popen(
            [f"{self.programs}/fynlo-server", "serve", "--listen", f"127.0.0.1:{port}"], env=environment,
            stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if '"event":"serving"' in line.replace(" ", ""):
                # The rest is not read: the server drops lines that it cannot write.
                return process, int(re.search(r'127\.0\.0\.1:(\d+)', line).group(1))
        raise AssertionError("the server did not start")

    def kill(self):
        """Kills the server, like a crash."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.process.stderr.close()

    def tablet(self, person, restaurant=CASA, client="kitchen", output=subprocess.DEVNULL, url=None):
        """A tablet that follows a restaurant until it is ended; with a pipe as `output`, what it hears is to be read."""
        environment = {"FYNLO_TOKEN": person.token(), "FYNLO_USER_ID": person.id, "FYNLO_URL": url or self.url}
        tablet = subprocess.Popen(
            [f"{self.programs}/fynlo", "tail", "--restaurant", restaurant, "--client-type", client], env=environment,
            stdout=output, stderr=subprocess.DEVNULL, text=True)
        self.tablets.append(tablet)
        return tablet

    def end(self, tablet):
        self.tablets.remove(tablet)
        tablet.terminate()
        tablet.wait(10)
        if tablet.stdout:
            tablet.stdout.close()

    def ask(self, method, path, body=None, person=MANAGER):
        """The answer of the REST API: its JSON and its fields."""
        request = urllib.request.Request(
            self.url + path, None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {person.token()}", "Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
            return (json.loads(text) if text else None), response.headers

    def order(self, **more):
        """A new order."""
        item = {"product_name": "Taco al Pastor", "quantity": 2, "unit_price": 6.95}
        return self.ask("POST", "/api/v1/orders", {"restaurant_id": CASA, "items": [item]} | more)[0]

    def move(self, order, status):
        return self.ask("PATCH", f"/api/v1/orders/{order['id']}/status", {"status": status})[0]

    def events_of(self, order):
        """All events of an order."""
        events, after = [], 0
        while True:
            page = self.ask("GET", f"/api/v1/events?restaurant_id={CASA}&after={after}&limit=1000")[0]
            if not page:
                return events
            events += [event for event in page if event["data"].get("order_id") == order["id"]]
            after = page[-1]["seq"]

    def sql(self, statement):
        """Another program changes the database."""
        subprocess.run(
            ["psql", "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", self.environment["DATABASE_URL"], "-c", statement],
            check=True, stdout=subprocess.DEVNULL)

    def end_other(self, process):
        self.others.remove(process)
        self.end_server(process)

    @staticmethod
    def end_server(process):
        if process.poll() is None:
            process.terminate()
            process.wait(20)
            process.stderr.close()

    def close(self):
        for tablet in list(self.tablets):
            self.end(tablet)
        for process in [*self.others, self.process]:
            if process:
                self.end_server(process)


def unique():
    return uuid.uuid4().hex[:8]
