#!/usr/bin/env python3
"""Connects and disconnects tablets for minutes, and watches the server's descriptors and memory.

usage: soak.py --url http://127.0.0.1:8000 --pid SERVER --user TOKEN:USER_ID:RESTAURANT_ID [--user ...]
               [--tablets 200] [--minutes 10] [--seed 1]

Each tablet connects, authenticates, talks for a while (pings, transient events, order updates, a menu over HTTP) and
leaves in one of several ways: with a close handshake, by closing the socket, by a reset, in the middle of the upgrade, or
before it has authenticated. At the end the figures after the first minute and the last ones are printed side by side, once
more after everybody has left. Only the standard library is used.
"""
import argparse
import asyncio
import json
import random
import socket
import struct
import sys
import time
from urllib.parse import urlsplit

from tablets import Counts, Tablet, sample


class Guest(Tablet):
    """One connection, from its upgrade to its end."""

    def __init__(self, url, user, rng, counts):
        super().__init__(url, user, rng)
        self.counts = counts

    async def live(self):
        await self.connect()
        try:
            end = self.rng.choice(["handshake", "handshake", "close", "reset", "half upgrade", "unauthenticated"])
            if end == "half upgrade":
                self.writer.write(b"GET /api/v1/websocket/ws/pos/")
                await self.writer.drain()
                return self.leave("reset" if self.rng.random() < 0.5 else "close")
            await self.upgrade()
            if end == "unauthenticated":
                return self.leave("close")
            answer = await self.authenticate()
            if answer["type"] != "authenticated":
                self.counts[answer["data"].get("code", "refused")] += 1
                return self.leave("close")
            self.counts["authenticated"] += 1
            await self.talk()
            if end == "handshake":
                self.frame(8, struct.pack("!H", 1000))
                while (await self.read_frame())[0] != 8:
                    pass
            self.leave("reset" if end == "reset" else "close")
        finally:
            self.writer.close()

    async def talk(self):
        until = time.monotonic() + self.rng.uniform(0.2, 6)
        while time.monotonic() < until:
            kind = self.rng.random()
            if kind < 0.5:
                self.say({"type": "ping", "data": {"n": self.rng.randrange(1000)}})
            elif kind < 0.8:
                self.say({"type": "kitchen.item_ready", "id": str(self.rng.random()), "data": {"item": "x" * 100}})
            elif kind < 0.95:
                self.say({"type": "order.status_update", "id": str(self.rng.random()), "data": {
                    "order_id": "00000000-0000-4000-8000-000000000000", "status": "ready"}})
            else:
                await self.menu()
            await self.writer.drain()
            deadline = time.monotonic() + self.rng.uniform(0.2, 1.0)
            while (left := deadline - time.monotonic()) > 0:
                try:
                    async with asyncio.timeout(left):
                        await self.message()
                        self.counts["received"] += 1
                except TimeoutError:
                    break

    async def menu(self):
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write((f"GET /api/v1/menu?restaurant_id={self.restaurant} HTTP/1.1\r\nHost: {self.host}\r\n"
                      f"Authorization: Bearer {self.token}\r\nConnection: close\r\n\r\n").encode())
        answer = await reader.read(-1)
        self.counts["menus" if answer.startswith(b"HTTP/1.1 200") else "menu errors"] += 1
        writer.close()

    def leave(self, how):
        if how == "reset":
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort() if how == "reset" else self.writer.close()


async def tablet_loop(url, users, rng, counts, until):
    while time.monotonic() < until:
        try:
            await Guest(url, rng.choice(users), rng, counts).live()
            counts["lives"] += 1
        except (OSError, asyncio.IncompleteReadError) as error:
            counts[f"failed: {type(error).__name__} {error}"[:100]] += 1
        await asyncio.sleep(rng.uniform(0.05, 0.5))


async def watch(pid, until, samples, counts):
    start = time.monotonic()
    print(f"{'seconds':>8} {'descriptors':>12} {'RSS KiB':>9} {'lives':>8} {'received':>10}", flush=True)
    while True:
        now = time.monotonic()
        descriptors, memory = sample(pid)
        samples.append((now - start, descriptors, memory))
        print(f"{now - start:8.0f} {descriptors:12} {memory:9} {counts['lives']:8} {counts['received']:10}", flush=True)
        if now >= until:
            return
        await asyncio.sleep(min(10, max(0.1, until - now)))


async def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--user", action="append", required=True)
    parser.add_argument("--tablets", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    users = [tuple(user.split(":")) for user in options.user]
    counts, samples = Counts(), []
    before = sample(options.pid)
    until = time.monotonic() + options.minutes * 60
    url = urlsplit(options.url)
    tasks = [tablet_loop(url, users, random.Random(options.seed * 1000 + n), counts, until)
             for n in range(options.tablets)]
    await asyncio.gather(watch(options.pid, until, samples, counts), *tasks)
    await asyncio.sleep(5)  # what lingers on the server's side is given up by then
    after = sample(options.pid)
    minute = [entry for entry in samples if 50 <= entry[0] <= 80] or samples[:1]
    last = samples[-3:]
    print()
    print(f"before anybody came:     {before[0]:5} descriptors, {before[1]:8} KiB")
    print(f"after the first minute:  {max(e[1] for e in minute):5} descriptors, {max(e[2] for e in minute):8} KiB")
    print(f"at the end:              {max(e[1] for e in last):5} descriptors, {max(e[2] for e in last):8} KiB")
    print(f"after all have left:     {after[0]:5} descriptors, {after[1]:8} KiB")
    print("counts:", json.dumps(counts, ensure_ascii=False))
    if after[0] > before[0] + 12:  # connections to the databases that were opened on demand
        sys.exit("The server kept descriptors.")


asyncio.run(main())
