"""Hostile clients of every kind, in any number; each reconnects as soon as it is disconnected."""
import asyncio
import os
import random
import resource
import socket
import struct
import time

from tablets import Counts, Tablet, frame

# The longest time in seconds that a client attacks in the same way, if the server does not disconnect it.
LONGEST_LIFE = 15
MASK = b"\x12\xa4\x56\xf8"
# The bytes that a flood writes at a time.
PINGS = frame(9, b"", MASK) * 10_000
BIG_PINGS = frame(9, b"x" * 125, MASK) * 500
EMPTY_FRAGMENTS = frame(0, b"", MASK, final=False) * 10_000
REQUESTS = b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" * 1_800


class Hostile(Tablet):
    """One hostile client, with an address of its own."""

    def __init__(self, url, user, rng, number):
        super().__init__(url, user, rng)
        self.local = (f"127.0.{1 + number // 200}.{1 + number % 200}", 0)

    async def arrive(self):
        await self.connect(local_addr=self.local)
        # Leaves with a reset, and so keeps no port here.
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def send(self, data):
        self.writer.write(data)

    def post(self, fields):
        self.send(f"POST /api/v1/menu/cache/invalidate HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n".encode())

    async def read_all(self):
        while await self.reader.read(65_536):
            pass

    async def trickle(self, data, pause):
        """Sends a byte at a time, until the server disconnects."""
        reading = asyncio.ensure_future(self.read_all())
        try:
            for index in range(len(data)):
                self.send(data[index:index + 1])
                await asyncio.wait([reading], timeout=pause)
                if reading.done():
                    return reading.result()
            await reading
        finally:
            reading.cancel()

    async def flood(self, data, reads=True):
        """The same without end."""
        if not reads:
            self.writer.transport.pause_reading()
        reading = asyncio.ensure_future(self.read_all() if reads else asyncio.sleep(LONGEST_LIFE))
        try:
            while not reading.done():
                self.send(data)
                await self.writer.drain()
                await asyncio.sleep(0)
            return reading.result()
        finally:
            reading.cancel()

    async def enter(self):
        """Authenticates as a member of the staff."""
        await self.upgrade()
        answer = await self.authenticate()
        if answer["type"] != "authenticated":
            raise ConnectionError(answer["data"]["error"])

    def leave(self):
        self.writer.transport.abort()


# MARK: Strangers

async def never_sends(client):
    await client.read_all()


async def slow_head(client):
    await client.trickle(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1_000, 0.2)


async def slow_body(client):
    client.post("Content-Length: 1000000")
    await client.trickle(b"x" * 1_000, 0.2)


async def slow_chunks(client):
    client.post("Transfer-Encoding: chunked")
    await client.trickle(b"1\r\nx\r\n" * 200, 0.2)


async def giant_length(client):
    client.post("Content-Length: 9223372036854775807")
    await client.read_all()


async def giant_chunk(client):
    client.post("Transfer-Encoding: chunked")
    client.send(b"7fffffffffffffff\r\n")
    await client.read_all()


async def giant_head(client):
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000)
    await client.read_all()


async def never_reads_answers(client):
    await client.flood(REQUESTS, reads=False)


async def one_byte_segments(client):
    await client.trickle(b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 0.001)


async def rubbish(client):
    client.send(client.rng.randbytes(2_000))
    await client.read_all()


async def resets(client):
    """Disconnects in any state, from before the first byte to the middle of a message."""
    step = client.rng.randrange(5)
    if step == 1:
        client.send(b"GET /api/v1/websocket/ws/pos/")
    if step == 2:
        client.post("Content-Length: 100")
        client.send(b"half")
    if step >= 3:
        await client.upgrade()
    if step == 4:
        client.send(frame(1, b"x" * 10_000, MASK)[:client.rng.randrange(10_000)])
    await asyncio.sleep(client.rng.uniform(0, 0.05))


# MARK: WebSockets of strangers

async def never_authenticates(client):
    await client.upgrade()
    await client.read_all()


async def giant_frame(client):
    await client.upgrade()
    client.send(struct.pack("!BBQ", 0x81, 0xFF, (1 << 63) - 1) + MASK)
    await client.read_all()


async def empty_fragments(client):
    await client.upgrade()
    client.send(frame(1, b"", MASK, final=False))
    await client.flood(EMPTY_FRAGMENTS)


async def stranger_pings(client):
    await client.upgrade()
    await client.flood(PINGS)


async def unmasked(client):
    await client.upgrade()
    client.send(b"\x81\x05hello")
    await client.read_all()


async def not_utf8(client):
    await client.upgrade()
    client.send(frame(1, b"\xc0\x80", MASK))
    await client.read_all()


async def deep_json(client):
    await client.upgrade()
    client.send(frame(1, b"[" * 16_000, MASK))
    await client.read_all()


async def forged_token(client):
    client.token = "x.y.z"
    await client.upgrade()
    await client.authenticate()


# MARK: Staff

async def staff_pings(client):
    await client.enter()
    await client.flood(BIG_PINGS)


async def staff_fragments(client):
    await client.enter()
    client.send(frame(1, b"", MASK, final=False))
    await client.flood(EMPTY_FRAGMENTS)


async def staff_never_reads(client):
    await client.enter()
    await client.flood(BIG_PINGS, reads=False)


async def staff_deep_json(client):
    await client.enter()
    await client.flood(frame(1, b"[" * 60_000, MASK))


async def staff_messages(client):
    await client.enter()
    await client.flood(frame(1, b'{"type":"ping"}', MASK) * 50)


KINDS = [
    never_sends, slow_head, slow_body, slow_chunks, giant_length, giant_chunk, giant_head, never_reads_answers,
    one_byte_segments, rubbish, resets, never_authenticates, giant_frame, empty_fragments, stranger_pings, unmasked,
    not_utf8, deep_json, forged_token, staff_pings, staff_fragments, staff_never_reads, staff_deep_json, staff_messages,
]


async def come_back(kind, url, user, rng, number, counts, present):
    while True:
        client = Hostile(url, user, rng, number)
        try:
            await client.arrive()
        except OSError as error:
            counts[f"not connected: {error.strerror}"] += 1
            await asyncio.sleep(0.1)
            continue
        counts[kind.__name__] += 1
        present.add(number)
        try:
            async with asyncio.timeout(rng.uniform(0.5, 1) * LONGEST_LIFE):
                await kind(client)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # the server's answer to hostility
        finally:
            present.discard(number)
            client.leave()
        await asyncio.sleep(0)  # another one's turn, whatever happened


async def crowd(url, users, connections, seed, pipe):
    counts, present = Counts(), set()
    tasks = [
        asyncio.ensure_future(come_back(
            KINDS[n % len(KINDS)], url, users[n % len(users)], random.Random(seed * 100_000 + n), n, counts, present))
        for n in range(connections)]
    while True:
        for task in tasks:
            if task.done():
                task.result()  # raises what went wrong here
        if pipe.poll():
            pipe.recv()
            pipe.send((dict(counts), len(present), time.process_time()))
        await asyncio.sleep(0.1)


def run(url, users, connections, seed, pipe):
    """A process's life; whatever comes by the pipe is answered by the counts per kind, how many are connected at the
    moment, and the processor time used. It is ended from outside."""
    # Hostile clients have processors of their own; here they leave the measured ones the first pick.
    os.nice(10)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    asyncio.run(crowd(url, users, connections, seed, pipe))
