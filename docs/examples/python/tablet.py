#!/usr/bin/env python3
"""A tablet: prints what happens in a restaurant, or moves one order on and ends.

    tablet.py RESTAURANT [ORDER STATUS]

FYNLO_URL, FYNLO_TOKEN and FYNLO_USER_ID say which server, and who asks. It needs the package websockets, 10.1 or later:
python3-websockets of Debian, elsewhere `pip install websockets`. Exit code 0: done; 1: refused; 2: no connection.
"""
import asyncio, json, os, random, sys, uuid
from types import SimpleNamespace
import websockets

# The close codes, and the HTTP statuses before the upgrade, after which another attempt would end in the same way.
FOR_GOOD = {1000, 1002, 1003, 1007, 1009, 4001, 4006, 4011, 400, 403, 404, 405, 422, 426}
restaurant, *change = sys.argv[1:] if len(sys.argv) in (2, 4) else sys.exit(__doc__)
server = os.environ["FYNLO_URL"].rstrip("/").replace("http", "ws", 1)
device = f"tablet-{uuid.uuid4().hex[:12]}"  # a real tablet has one name that it keeps
login = {"token": os.environ["FYNLO_TOKEN"], "user_id": os.environ["FYNLO_USER_ID"],
         "restaurant_id": restaurant, "device_id": device}
# The id stays through all attempts: the server carries the command out once, however often it is sent.
command = change and {"id": str(uuid.uuid4()), "type": "order.status_update",
                      "data": dict(zip(("order_id", "status"), change))}


async def talk(socket, state):
    """Follows one connection until it ends. Returns the exit code once there is nothing left to do."""
    await socket.send(json.dumps({"type": "authenticate", "data": login}))
    async for text in socket:  # the library pings by itself, and so notices a dead connection
        message = json.loads(text)
        kind, data = message["type"], message["data"]
        if kind == "authenticated":
            state.failures = 0
            login.setdefault("last_seq", data["seq"])
            print(f"Connected; event {data['seq']} is the newest.", flush=True)
            if command:
                await socket.send(json.dumps(command))
        elif kind == "ping":
            await socket.send('{"type": "pong"}')
        elif kind in ("auth_error", "reconnect"):
            print(data.get("error", "The server goes away."), flush=True)
            if not data.get("retryable", True):
                return 2
            state.wait = data.get("retry_after_ms", 0) / 1000
        elif kind == "resync_required":
            login["last_seq"] = data["seq"]
            print("Events are missing: load the lists again by REST.", flush=True)
        elif kind in ("ack", "error") and command and data.get("id") == command["id"]:
            print(text, flush=True)
            if data.get("code") not in ("unavailable", "rate_limited"):
                return 0 if kind == "ack" else 1
            await asyncio.sleep(data.get("retry_after_ms", 1000) / 1000)
            await socket.send(json.dumps(command))
        elif "seq" in message or "user_id" in message:  # a durable event, or what another tablet said
            print(text, flush=True)
            login["last_seq"] = message.get("seq", login["last_seq"])


async def main():
    state = SimpleNamespace(failures=0, wait=0)
    while True:
        state.wait = 0
        try:
            url = f"{server}/api/v1/websocket/ws/kitchen/{restaurant}"
            async with websockets.connect(url, subprotocols=["fynlo.v1"]) as socket:
                code = await talk(socket, state)
            if code is not None:
                return code
            reason = socket.close_code
        except websockets.ConnectionClosed as end:
            reason = end.rcvd.code if end.rcvd else 1006
        except websockets.InvalidHandshake as refusal:  # two generations of the library keep the status in two places
            reason = getattr(getattr(refusal, "response", refusal), "status_code", refusal)
        except (OSError, asyncio.TimeoutError) as problem:
            reason = problem
        print(f"No connection ({reason}).", flush=True)
        if reason in FOR_GOOD:
            return 2
        await asyncio.sleep(state.wait or min(2**state.failures, 30) * random.uniform(0.75, 1.25))
        state.failures += 1


try:
    sys.exit(asyncio.run(main()))
except KeyboardInterrupt:
    sys.exit(130)
