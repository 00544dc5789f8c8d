#!/usr/bin/env python3
"""Measures how long tablets wait for their pongs, without hostile clients and among them.

usage: hostile.py --url http://127.0.0.1:8000 --pid SERVER --user TOKEN:USER_ID:RESTAURANT_ID [--user ...]
                  [--tablets 40] [--connections 1000] [--seconds 30] [--seed 1]

Tablets ping four times a second and send an event now and then: first alone, then while another process holds hostile
connections of every kind in crowd.py, each of which comes back as soon as it is closed. What the waiting says about
the machine rather than the server is measured beside it: the same pings to an echo that nobody attacks, in a process of
its own, and how late the loop of the tablets' process is. Ends with 1 if a tablet lost a ping, an event or its connection.
Only the standard library is used.
"""
import argparse
import asyncio
import json
import multiprocessing
import random
import socket
import sys
import time
from urllib.parse import urlsplit

import crowd
from tablets import Tablet, processor_seconds, sample

PINGS_PER_SECOND = 4
PINGS_PER_EVENT = 8


class Regular(Tablet):
    """A tablet that behaves normally and measures the round trips."""

    def __init__(self, url, user, rng):
        super().__init__(url, user, rng)
        self.waits, self.sent = [], {}
        self.pings = self.pongs = self.events = 0

    async def enter(self):
        await self.connect()
        await self.upgrade()
        answer = await self.authenticate()
        if answer["type"] != "authenticated":
            raise SystemExit(f"A tablet was refused: {answer}")

    async def listen(self):
        while True:
            message = await self.message()
            if message["type"] == "pong":
                self.waits.append(time.perf_counter() - self.sent.pop(message["data"]["echo"]["n"]))
                self.pongs += 1
            elif message["type"] == "kitchen.item_ready":
                self.events += 1

    async def talk(self, seconds, told):
        """Pings at its pace; `told` counts the events by restaurant."""
        self.waits = []
        until = time.monotonic() + seconds
        await asyncio.sleep(self.rng.random() / PINGS_PER_SECOND)
        while time.monotonic() < until:
            self.pings += 1
            self.sent[self.pings] = time.perf_counter()
            self.say({"type": "ping", "data": {"n": self.pings}})
            if self.pings % PINGS_PER_EVENT == 0:
                self.say({"type": "kitchen.item_ready", "data": {"item": "x" * 100}})
                told[self.restaurant] += 1
            await asyncio.sleep(1 / PINGS_PER_SECOND)


def serve_echo(pipe):
    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(4096):
        connection.sendall(data)


async def watch_echo(reader, writer, waits, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        start = time.perf_counter()
        writer.write(b"x" * 60)
        await reader.readexactly(60)
        waits.append(time.perf_counter() - start)
        await asyncio.sleep(0.02)


async def watch_loop(lags, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        start = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append(time.perf_counter() - start - 0.01)


async def watch_memory(pid, highest, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        descriptors, memory = sample(pid)
        highest[0], highest[1] = max(highest[0], descriptors), max(highest[1], memory)
        await asyncio.sleep(0.5)


def percentiles(waits):
    """p50, p95, p99 and the longest, in milliseconds."""
    waits = sorted(waits)
    return [1000 * waits[min(len(waits) - 1, int(len(waits) * part))] for part in (0.5, 0.95, 0.99, 1)]


async def phase(name, tablets, echo, pid, seconds, told):
    """One row per thing measured, and the server's processor time, descriptors and memory at their highest."""
    echo_waits, lags, highest = [], [], [0, 0]
    before, start = processor_seconds(pid), time.monotonic()
    await asyncio.gather(
        watch_echo(*echo, echo_waits, seconds), watch_loop(lags, seconds), watch_memory(pid, highest, seconds),
        *(tablet.talk(seconds, told) for tablet in tablets))
    used = (processor_seconds(pid) - before) / (time.monotonic() - start)
    waits = [wait for tablet in tablets for wait in tablet.waits]
    for what, values in ((f"pongs, {name}", waits), (f"echo, {name}", echo_waits), (f"own loop, {name}", lags)):
        print(f"{what:24} {len(values):7} " + " ".join(f"{value:8.2f}" for value in percentiles(values)), flush=True)
    return f"{name:24} {100 * used:6.0f} % {highest[0]:12} {highest[1]:9}"


async def settled(condition, seconds):
    """Waits for `condition`; true as soon as it holds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.1)
    return True


def ask(pipe):
    pipe.send(None)
    return pipe.recv()


async def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--user", action="append", required=True)
    parser.add_argument("--tablets", type=int, default=40)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    url = urlsplit(options.url)
    users = [tuple(user.split(":")) for user in options.user]

    processes = multiprocessing.get_context("spawn")  # which inherit no sockets
    pipe, child = processes.Pipe()
    processes.Process(target=serve_echo, args=(child,), daemon=True).start()
    child.close()
    echo = await asyncio.open_connection("127.0.0.1", pipe.recv())
    tablets = [Regular(url, users[n % len(users)], random.Random(options.seed * 1000 + n)) for n in range(options.tablets)]
    for tablet in tablets:
        await tablet.enter()
    listening = [asyncio.ensure_future(tablet.listen()) for tablet in tablets]
    told = {tablet.restaurant: 0 for tablet in tablets}

    print(f"{'milliseconds':24} {'number':>7} {'p50':>8} {'p95':>8} {'p99':>8} {'longest':>8}")
    loads = [await phase("in peace", tablets, echo, options.pid, options.seconds, told)]
    before = sample(options.pid)

    pipe, child = processes.Pipe()
    hostile = processes.Process(
        target=crowd.run, args=(url, users, options.connections, options.seed, child), daemon=True)
    hostile.start()
    child.close()
    # A flood begins to come back before the last one has come for the first time: nearly all is all.
    await settled(lambda: ask(pipe)[1] >= 0.9 * options.connections, 30)
    counts, _, used = ask(pipe)
    start = time.monotonic()
    loads.append(await phase("among the hostile", tablets, echo, options.pid, options.seconds, told))
    counts_after, present, used_after = ask(pipe)
    used = (used_after - used) / (time.monotonic() - start)
    hostile.terminate()
    hostile.join()

    await settled(lambda: sample(options.pid)[0] <= before[0] + 12, 20)
    loads.append(await phase("after them", tablets, echo, options.pid, 12, told))
    after = sample(options.pid)

    print(f"\n{'the server':24} {'CPU':>8} {'descriptors':>12} {'RSS KiB':>9}")
    print("\n".join(loads))
    print(f"\nhostile connections: {present} at the end, made meanwhile, by kind (their process used {100 * used:.0f} % CPU):")
    for kind in sorted(counts_after):
        print(f"  {kind:24} {counts_after[kind] - counts.get(kind, 0):7}")
    print(f"  {'all':24} {sum(counts_after.values()) - sum(counts.values()):7}")
    print(f"before: {before[0]} descriptors, {before[1]} KiB; after: {after[0]} descriptors, {after[1]} KiB")

    def is_well(tablet):
        return tablet.pongs == tablet.pings and tablet.events == told[tablet.restaurant]

    await settled(lambda: all(map(is_well, tablets)), 5)
    print(f"tablets: {len(tablets)}, pings {sum(t.pings for t in tablets)}, pongs {sum(t.pongs for t in tablets)}, "
          f"events {sum(t.events for t in tablets)} of {sum(told[t.restaurant] for t in tablets)}")
    lost = [task for task in listening if task.done()]
    if lost or not all(map(is_well, tablets)):
        sys.exit(f"Tablets were disturbed: {len(lost)} lost their connection, "
                 + json.dumps([(t.pings, t.pongs, t.events) for t in tablets if not is_well(t)]))
    if after[0] > before[0] + 12:  # connections to the databases that were opened on demand
        sys.exit("The server kept descriptors.")


if __name__ == "__main__":
    asyncio.run(main())
