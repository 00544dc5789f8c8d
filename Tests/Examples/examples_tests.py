#!/usr/bin/env python3
"""The examples of docs/examples, as their readers run them, against a real server.

usage: examples_tests.py --programs DIRECTORY --display PROGRAM [unittest's arguments, such as -k NAME]

DATABASE_URL and REDIS_URL name an empty database and a Redis: scripts/test --examples starts them. Needs chromium and
chromedriver for the page.
"""
import argparse
import functools
import http.server
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import unittest

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "Tests/Browser"))
from stage import CASA, WAITER, Stage  # noqa: E402 (found by the line above)
from webdriver import Browser  # noqa: E402

LIMIT = 60
# An event that is not kept any more, as the server prunes them after some days.
FORGET = f"""
    update restaurant_streams set head = head + 1 where restaurant_id = '{CASA}';
    delete from restaurant_events where restaurant_id = '{CASA}'"""


def setUpModule():
    global stage
    stage = Stage(options.programs, FYNLO_ALLOWED_ORIGINS=PAGE_ORIGIN)
    unittest.addModuleCleanup(stage.close)


def status(order):
    """What the database holds."""
    query = f"select status from orders where id = '{order['id']}'"
    return subprocess.run(
        ["psql", "-XqAt", stage.environment["DATABASE_URL"], "-c", query], check=True, capture_output=True,
        text=True).stdout.strip()


class Example:
    """A running example, and the lines that it prints."""

    def __init__(self, command, arguments, url, token):
        environment = {"PATH": os.environ["PATH"], "FYNLO_URL": url, "FYNLO_TOKEN": token, "FYNLO_USER_ID": WAITER.id}
        self.process = subprocess.Popen([*command, *arguments], env=environment, stdout=subprocess.PIPE, text=True)
        self.lines, self.seen = queue.Queue(), []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def wait_for(self, wanted):
        """The first further line that is wanted."""
        while True:
            try:
                line = self.lines.get(timeout=LIMIT)
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"the example did not print what was expected, but: {self.seen}")
            self.seen.append(line)
            if wanted(line):
                return line

    def wait_for_event(self, order, status):
        return self.wait_for(lambda line: is_change(line, order, status))

    def exit_code(self):
        return self.process.wait(LIMIT)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(LIMIT)
        self.reader.join()
        self.process.stdout.close()


def is_change(line, order, status):
    """True for the event that this order has got this status."""
    if not line.startswith("{"):
        return False
    message = json.loads(line)
    data = message["data"]
    return message["type"] == "order.status_changed" and (data["order_id"], data["status"]) == (order["id"], status)


class Cases:
    """What every example of a tablet does; `command` starts it."""

    def start(self, *arguments, url=None, token=None):
        example = Example(self.command, arguments, url or stage.url, token or WAITER.token())
        self.addCleanup(example.end)
        return example

    def test_shows_what_others_change(self):
        example = self.start(CASA)
        example.wait_for(lambda line: line.startswith("Connected"))
        order = stage.order()
        stage.move(order, "preparing")
        example.wait_for_event(order, "preparing")

    def test_changes_an_order(self):
        order = stage.order()
        example = self.start(CASA, order["id"], "preparing")
        self.assertEqual(example.exit_code(), 0)
        self.assertEqual(status(order), "preparing")

    def test_reports_a_refusal(self):
        order = stage.order()
        stage.move(order, "ready")
        example = self.start(CASA, order["id"], "preparing")
        self.assertEqual(example.exit_code(), 1)
        self.assertEqual(status(order), "ready")

    def test_shows_once_what_it_missed(self):
        order, last = stage.order(), stage.order()
        example = self.start(CASA)
        example.wait_for(lambda line: line.startswith("Connected"))
        process, other = stage.start_other()
        stage.move(order, "confirmed")
        example.wait_for_event(order, "confirmed")
        stage.kill()
        example.wait_for(lambda line: line.startswith("No connection"))
        self.assertEqual(self.start(CASA, order["id"], "ready", url=other).exit_code(), 0)
        stage.start()
        example.wait_for_event(order, "ready")
        stage.end_other(process)
        stage.move(last, "preparing")
        example.wait_for_event(last, "preparing")
        for status in ("confirmed", "ready"):
            self.assertEqual(sum(is_change(line, order, status) for line in example.seen), 1, status)

    def test_is_told_to_load_again(self):
        """When the events that it missed are not kept any more."""
        example = self.start(CASA)
        example.wait_for(lambda line: line.startswith("Connected"))
        stage.kill()
        example.wait_for(lambda line: line.startswith("No connection"))
        stage.sql(FORGET)
        stage.start()
        example.wait_for(lambda line: line.startswith("Events are missing"))
        order = stage.order()
        stage.move(order, "preparing")
        example.wait_for_event(order, "preparing")

    def test_ends_without_a_good_token(self):
        example = self.start(CASA, token=WAITER.token(seconds=-3600))
        self.assertEqual(example.exit_code(), 2)


class PythonTests(Cases, unittest.TestCase):
    @property
    def command(self):
        return [options.python, "-B", str(root / "docs/examples/python/tablet.py")]


class SwiftTests(Cases, unittest.TestCase):
    @property
    def command(self):
        return [options.display]


class Page(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Says nothing."""


class BrowserTests(unittest.TestCase):
    """The page, from an origin of its own."""

    @classmethod
    def setUpClass(cls):
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        cls.addClassCleanup(thread.join)
        cls.addClassCleanup(pages.shutdown)
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def test_shows_and_changes_orders(self):
        order, other = stage.order(), stage.order()
        window = self.browser.window(f"{PAGE_ORIGIN}/?server={stage.url}")
        # Before the module listens, the form's button would reload the page.
        window.wait_text("#state", "Ready")
        for field, value in (("token", WAITER.token()), ("user", WAITER.id), ("restaurant", CASA)):
            window.type(f"[name={field}]", value)
        window.click("#sign-in button")
        window.wait_text("#state", "CONNECTED")
        stage.move(other, "preparing")
        window.wait_text("#events", other["id"])
        window.type("[name=order]", order["id"])
        window.click("#change button")
        window.wait_text("#answer", "Done")
        window.wait_text("#events", order["id"])
        self.assertEqual(status(order), "ready")
        self.assertEqual(self.browser.console_log(), [], "the browser complained")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--programs", required=True, help="where fynlo-server and fynlo are")
parser.add_argument("--display", required=True, help="the built example in Swift")
parser.add_argument(
    "--python", default="/usr/bin/python3",
    help="runs the example in Python; by default the distribution's, which has the distribution's packages")
options, others = parser.parse_known_args()
pages = http.server.ThreadingHTTPServer(
    ("127.0.0.1", 0), functools.partial(Page, directory=root / "docs/examples/browser"))
PAGE_ORIGIN = f"http://127.0.0.1:{pages.server_port}"

if __name__ == "__main__":
    with pages:
        unittest.main(argv=[sys.argv[0], *others], verbosity=2)
