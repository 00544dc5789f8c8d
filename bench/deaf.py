#!/usr/bin/env python3
"""Slow consumers: tablets that do not read, in a restaurant with a continuous flow of events.

usage: deaf.py --url http://127.0.0.1:8000 --accounts FILE --skip N [--tablets 10] [--events 100] [--bytes 8000] --seconds 10

The accounts are those of `fynlo load`, of one restaurant, from the line after the first N on: the first of them sends, the
others do not read; who is closed for it comes back. Only the standard library is used.
"""
import argparse
import asyncio
import itertools
import random
import socket
from urllib.parse import urlsplit

from tablets import Tablet

# A small buffer: the kernel accepts little, and the server's queue fills soon.
RECEIVE_BUFFER = 8192
# How long a tablet stays: longer than the server waits for it to read.
STAY = 4


async def be_deaf(url, user, seed):
    while True:
        tablet = Tablet(url, user, random.Random(seed))
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (url.hostname, url.port))
            # asyncio stops reading after twice its limit.
            await tablet.connect(sock=sock, limit=RECEIVE_BUFFER)
            await tablet.upgrade()
            await tablet.authenticate()
            await asyncio.sleep(STAY)
        except (ConnectionError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)
        finally:
            sock.close()


async def hear(tablet):
    while True:
        await tablet.message()


async def tell(url, user, events, size):
    tablet = Tablet(url, user, random.Random(0))
    await tablet.connect()
    await tablet.upgrade()
    await tablet.authenticate()
    hearing = asyncio.create_task(hear(tablet))
    message = {"type": "kitchen.item_ready", "data": {"item": "x" * size}}
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        for number in itertools.count(1):
            tablet.say(message)
            await tablet.writer.drain()
            await asyncio.sleep(max(0, began + number / events - loop.time()))
    finally:
        hearing.cancel()


async def run(arguments, users):
    url = urlsplit(arguments.url)
    tasks = [asyncio.create_task(be_deaf(url, user, seed)) for seed, user in enumerate(users[1:])]
    tasks.append(asyncio.create_task(tell(url, users[0], arguments.events, arguments.bytes)))
    done, _ = await asyncio.wait(tasks, timeout=arguments.seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    for task in done:
        task.result()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--accounts", required=True)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--tablets", type=int, default=10)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--bytes", type=int, default=8000)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    with open(arguments.accounts) as file:
        lines = itertools.islice(file, arguments.skip, arguments.skip + arguments.tablets + 1)
        users = [(token, user, restaurant) for restaurant, user, token in (line.split() for line in lines)]
    asyncio.run(run(arguments, users))


main()
