#!/usr/bin/env python3
"""Compares the server with its yardsticks and prints one table. scripts/bench starts it with everything that it needs.

usage: bench.py --server FYNLO-SERVER --fynlo FYNLO --limit LIMIT --postgres DIRECTORY --folder DIRECTORY
                [--uvicorn UVICORN] [--runs 5] [--seconds 2] [--patience 120] [--without CONTESTANT]
                [--plots | --plot NAME] [--verbose] [ROW ...]
"""
import argparse
import os
import sys
import time

import data
import latency
import load
import machine
import rows
import startup
import table

CONTESTANTS = ("limit", "ours", "node", "fastapi")
SECTIONS = {"latency": latency.Latency, "start-up": startup.StartUp}


class Bench:
    """What all measurements need."""

    def __init__(self, arguments):
        self.server, self.fynlo, self.limit = arguments.server, arguments.fynlo, arguments.limit
        self.uvicorn = arguments.uvicorn
        self.verbose = arguments.verbose
        self.folder = arguments.folder
        self.runs, self.seconds = arguments.runs, arguments.seconds
        self.wanted = [key for key in CONTESTANTS if key not in arguments.without]
        self.cores = machine.Cores()
        self.quiet = machine.Quiet(arguments.patience)
        self.database = data.Database(arguments.postgres)
        self.accounts = None

    def prepare(self):
        self.cores.take_load()
        self.accounts = data.write_accounts(os.path.join(self.folder, "accounts"), range(data.USERS))
        self.database.prepare_users()


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser()
    for name in ("--server", "--fynlo", "--limit", "--postgres", "--folder"):
        parser.add_argument(name)
    parser.add_argument("--uvicorn", default="uvicorn")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--patience", type=float, default=120)
    parser.add_argument("--without", action="append", default=[], choices=CONTESTANTS[2:])
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--check", action="store_true", help="only whether all words are understood")
    parser.add_argument("--plot", action="append", default=[], choices=("latency", "connections"), dest="plots")
    parser.add_argument("--plots", action="store_const", const=["latency", "connections"])
    parser.add_argument("rows", nargs="*")
    arguments = parser.parse_args()
    known = [*rows.ROWS, *SECTIONS]
    for name in arguments.rows:
        if name not in known:
            parser.error(f"there is no row {name}; there are: {' '.join(known)}")
    return arguments


def main():
    arguments = parse()
    if arguments.check:
        return
    machine.stop_on_signals()
    bench = Bench(arguments)
    began = time.monotonic()
    everything = not arguments.rows and not arguments.plots
    failures = 0
    try:
        bench.prepare()
        print(f"{time.strftime('%Y-%m-%d')}, {machine.describe()}; median of {bench.runs} runs of {bench.seconds} s.")
        if not bench.cores.are_apart:
            print("There is one core only: server and load share it, and all figures are worse for it.")
        done = []
        for key, kind in rows.ROWS.items():
            if not everything and key not in arguments.rows:
                continue
            row = kind(bench)
            say(row.key)
            try:
                done.append(row.run(bench.runs))
            except load.Failed as failure:
                failures += 1
                say(f"{row.key} failed: {failure}")
        if done:
            print("\n" + table.markdown(done), flush=True)
        for key, kind in SECTIONS.items():
            if everything or key in arguments.rows:
                say(key)
                try:
                    print("\n" + kind(bench).run(bench.runs), flush=True)
                except load.Failed as failure:
                    failures += 1
                    say(f"{key} failed: {failure}")
        if arguments.plots:
            import plots  # needs matplotlib, which nothing else does

            say("plots")
            plots.draw(bench, arguments.plots)
        print("\n" + bench.quiet.describe())
    finally:
        machine.Process.stop_all()
    say(f"{time.monotonic() - began:.0f} s")
    sys.exit(1 if failures else 0)


main()
