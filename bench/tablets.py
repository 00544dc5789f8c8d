"""One tablet's connection over asyncio, and the figures of a server's process: what the load generators here share."""
import asyncio
import base64
import json
import os
import struct


class Tablet:
    """A WebSocket of one user; `user` is (token, user ID, restaurant ID)."""

    def __init__(self, url, user, rng):
        self.host, self.port = url.hostname, url.port
        self.token, self.user, self.restaurant = user
        self.rng = rng

    async def connect(self, **options):
        """Options of asyncio.open_connection, such as local_addr; with sock, which is connected already, nobody is dialed."""
        address = {} if "sock" in options else {"host": self.host, "port": self.port}
        self.reader, self.writer = await asyncio.open_connection(**address, **options)

    async def upgrade(self):
        key = base64.b64encode(self.rng.randbytes(16)).decode()
        self.writer.write((
            f"GET /api/v1/websocket/ws/pos/{self.restaurant} HTTP/1.1\r\nHost: {self.host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.split(b"\r\n")[0].decode())

    async def authenticate(self):
        """The server's answer: `authenticated` or `auth_error`."""
        self.say({"type": "authenticate", "data": {
            "token": self.token, "user_id": self.user, "restaurant_id": self.restaurant}})
        return await self.message()

    def say(self, value):
        self.frame(1, json.dumps(value).encode())

    def frame(self, opcode, payload):
        self.writer.write(frame(opcode, payload, self.rng.randbytes(4)))

    async def read_frame(self):
        head = await self.reader.readexactly(2)
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack("!H", await self.reader.readexactly(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", await self.reader.readexactly(8))[0]
        return head[0] & 0xF, await self.reader.readexactly(length)

    async def message(self):
        while True:
            opcode, payload = await self.read_frame()
            if opcode == 1:
                return json.loads(payload)
            if opcode == 8:
                raise ConnectionError("closed by the server: " + repr(payload))


def frame(opcode, payload, mask, final=True):
    """The bytes of a client's frame."""
    first = (0x80 if final else 0) | opcode
    if len(payload) < 126:
        head = struct.pack("!BB", first, 0x80 | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, 0xFE, len(payload))
    else:
        head = struct.pack("!BBQ", first, 0xFF, len(payload))
    key = (mask * (len(payload) // 4 + 1))[:len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + mask + masked.to_bytes(len(payload), "big")


class Counts(dict):
    def __missing__(self, key):
        return 0


def sample(pid):
    """Open descriptors, and resident memory in KiB."""
    with open(f"/proc/{pid}/status") as status:
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), memory


def processor_seconds(pid):
    """User and system time so far."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
