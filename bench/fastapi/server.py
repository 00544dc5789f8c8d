"""The protocol as someone would write it with FastAPI, for scripts/bench: tokens (HS256 and `exp` by PyJWT; no database),
ping -> pong, transient events to everybody of the restaurant, written as JSON once; and a menu of fixed bytes.

FYNLO_JWT_SECRET=… uvicorn --app-dir bench/fastapi server:app --port 8020 --no-access-log
"""
import itertools
import json
import os
import secrets
from collections import defaultdict
from datetime import datetime, timezone
from uuid import UUID

import jwt
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

SECRET = os.environ["FYNLO_JWT_SECRET"]
TRANSIENT = {
    "kitchen.item_started", "kitchen.item_ready", "kitchen.order_ready",
    "table.occupied", "table.available", "table.reserved", "table.cleaned",
}
NODE = secrets.token_hex(8)

app = FastAPI(openapi_url=None)
restaurants: dict[str, set[WebSocket]] = defaultdict(set)
numbers = itertools.count(1)


def rfc3339(time):
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(kind, data, restaurant, **more):
    now = rfc3339(datetime.now(timezone.utc))
    return json.dumps(
        {"id": f"{NODE}-{next(numbers)}", "type": kind, "data": data, "restaurant_id": restaurant, "timestamp": now, **more},
        separators=(",", ":"))


class Refused(Exception):
    def __init__(self, error, code, reason, close_code):
        self.data = {"error": error, "code": code, "retryable": False}
        self.reason, self.close_code = reason, close_code


def authenticate(message, restaurant):
    """The user and the token's claims."""
    if message.get("type") != "authenticate":
        raise Refused("First message must be authentication", "authentication_required", "Authentication required", 4001)
    fields = {**message, **(message.get("data") or {})}
    token, user, named = (fields.get(name) for name in ("token", "user_id", "restaurant_id"))
    if not (token and user and named):
        raise Refused("Missing authentication data", "missing_authentication_data", "Authentication failed", 4003)
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        raise Refused("Invalid authentication token", "invalid_token", "Authentication failed", 4003) from None
    if named.lower() != restaurant:
        raise Refused("Access denied to this restaurant", "access_denied", "Authentication failed", 4003)
    return user, claims


@app.websocket("/api/v1/websocket/ws/{client_type}/{restaurant_id}")
async def endpoint(socket: WebSocket, client_type: str, restaurant_id: UUID):
    restaurant = str(restaurant_id)
    await socket.accept("fynlo.v1" if "fynlo.v1" in socket.scope["subprotocols"] else None)
    try:
        try:
            user, claims = authenticate(await socket.receive_json(), restaurant)
        except Refused as refusal:
            await socket.send_text(envelope("auth_error", refusal.data, restaurant))
            return await socket.close(refusal.close_code, refusal.reason)
        members = restaurants[restaurant]
        members.add(socket)
        await socket.send_text(envelope("authenticated", {
            "user_id": user, "restaurant_id": restaurant, "connection_id": f"{NODE}-{next(numbers)}", "role": "employee",
            "seq": 0, "heartbeat_interval_ms": 15000,
            "token_expires_at": rfc3339(datetime.fromtimestamp(claims["exp"], timezone.utc)), "resumed": False,
        }, restaurant))
        while True:
            await receive(socket, await socket.receive_json(), restaurant, user)
    except WebSocketDisconnect:
        pass
    finally:
        restaurants[restaurant].discard(socket)


async def receive(socket, message, restaurant, user):
    kind = message.get("type")
    if kind == "ping":
        data = {"timestamp": rfc3339(datetime.now(timezone.utc)), "echo": message.get("data")}
        await socket.send_text(envelope("pong", data, restaurant))
    elif kind in TRANSIENT:
        event = envelope(kind, message.get("data"), restaurant, user_id=user)
        for member in list(restaurants[restaurant]):
            try:
                await member.send_text(event)
            except (RuntimeError, WebSocketDisconnect):
                restaurants[restaurant].discard(member)
    elif kind != "pong":
        await socket.send_text(envelope("error", {"code": "unknown_type", "error": "There is no such type."}, restaurant))
