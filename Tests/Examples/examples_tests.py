#!/usr/bin/env python3
"""The examples of docs/examples, as their readers run them, against a real server.

usage: examples_tests.py --programs DIRECTORY --display PROGRAM [unittest's arguments, such as -k NAME]

DATABASE_URL and REDIS_URL name an empty database and a Redis: scripts/test --examples starts them.
"""
import argparse
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

LIMIT = 60
# An event that is not kept any more, as the server prunes them after some days.
FORGET = f"""
    update restaurant_streams set head = head + 1 where restaurant_id = '{CASA}';
    delete from restaurant_events where restaurant_id = '{CASA}'"""


def setUpModule():
    Cases.stage = Stage(options.programs)
    unittest.addModuleCleanup(Cases.stage.close)


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

    stage = None

    def start(self, *arguments, url=None, token=None):
        example = Example(self.command, arguments, url or self.stage.url, token or WAITER.token())
        self.addCleanup(example.end)
        return example

    def status(self, order):
        """What the database holds."""
        query = f"select status from orders where id = '{order['id']}'"
        return subprocess.run(
            ["psql", "-XqAt", self.stage.environment["DATABASE_URL"], "-c", query], check=True, capture_output=True,
            text=True).stdout.strip()

    def test_shows_what_others_change(self):
        example = self.start(CASA)
        example.wait_for(lambda line: line.startswith("Connected"))
        order = self.stage.order()
        self.stage.move(order, "preparing")
        example.wait_for_event(order, "preparing")

    def test_changes_an_order(self):
        order = self.stage.order()
        example = self.start(CASA, order["id"], "preparing")
        self.assertEqual(example.exit_code(), 0)
        self.assertEqual(self.status(order), "preparing")

    def test_reports_a_refusal(self):
        order = self.stage.order()
        self.stage.move(order, "ready")
        example = self.start(CASA, order["id"], "preparing")
        self.assertEqual(example.exit_code(), 1)
        self.assertEqual(self.status(order), "ready")

    def test_shows_once_what_it_missed(self):
        order, last = self.stage.order(), self.stage.order()
        example = self.start(CASA)
        example.wait_for(lambda line: line.startswith("Connected"))
        process, other = self.stage.start_other()
        self.stage.move(order, "confirmed")
        example.wait_for_event(order, "confirmed")
        self.stage.kill()
        example.wait_for(lambda line: line.startswith("No connection"))
        self.assertEqual(self.start(CASA, order["id"], "ready", url=other).exit_code(), 0)
        self.stage.start()
        example.wait_for_event(order, "ready")
        self.stage.end_other(process)
        self.stage.move(last, "preparing")
        example.wait_for_event(last, "preparing")
        for status in ("confirmed", "ready"):
            self.assertEqual(sum(is_change(line, order, status) for line in example.seen), 1, status)

    def test_is_told_to_load_again(self):
        """When the events that it missed are not kept any more."""
        example = self.start(CASA)
        example.wait_for(lambda line: line.startswith("Connected"))
        self.stage.kill()
        example.wait_for(lambda line: line.startswith("No connection"))
        self.stage.sql(FORGET)
        self.stage.start()
        example.wait_for(lambda line: line.startswith("Events are missing"))
        order = self.stage.order()
        self.stage.move(order, "preparing")
        example.wait_for_event(order, "preparing")

    def test_ends_without_a_good_token(self):
        example = self.start(CASA, token=WAITER.token(seconds=-3600))
        self.assertEqual(example.exit_code(), 2)


class PythonTests(Cases, unittest.TestCase):
    # The distribution's Python, which has the distribution's packages.
    command = ["/usr/bin/python3", "-B", str(root / "docs/examples/python/tablet.py")]


class SwiftTests(Cases, unittest.TestCase):
    @property
    def command(self):
        return [options.display]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--programs", required=True, help="where fynlo-server and fynlo are")
parser.add_argument("--display", required=True, help="the built example in Swift")
options, others = parser.parse_known_args()

if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *others], verbosity=2)
