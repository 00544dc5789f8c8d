"""bench/plots/*.svg: latency against load; CPU per ping and memory against connections. Drawn by matplotlib."""
import os
import time

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({
    "svg.hashsalt": "fynlo", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 11,
    "figure.facecolor": "white", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#dddddd", "lines.linewidth": 2, "lines.marker": "o", "lines.markersize": 5,
})
from matplotlib import pyplot  # noqa: E402 (after the settings)

import contestants  # noqa: E402
import latency  # noqa: E402
import machine  # noqa: E402
import rows  # noqa: E402

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plots")
# Markers distinguish the lines for people who see few colours.
COLOURS = {"limit": "#555555", "ours": "#0072b2", "node": "#009e73", "fastapi": "#d55e00"}
NAMES = {"limit": "limit (C)", "ours": "this server", "node": "Node ws", "fastapi": "FastAPI"}
SHARES = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)


def save(figure, name, caption):
    figure.text(0.01, 0.01, caption, fontsize=8, color="#666666")
    os.makedirs(FOLDER, exist_ok=True)
    figure.savefig(os.path.join(FOLDER, name), metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def caption():
    return f"{time.strftime('%Y-%m-%d')}, {machine.describe()}; one core for the server"


def latency_against_load(bench):
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    measuring = latency.Latency(bench)
    kinds = [kind for kind in (contestants.Limit, contestants.Ours, contestants.Node) if kind.key in bench.wanted]
    for kind in kinds:
        server = measuring.start(kind)
        try:
            measuring.ping(server, 1000, 1)
            capacity = measuring.capacity(server)
            points = []
            for share in SHARES:
                bench.quiet.wait()
                found = measuring.ping(server, capacity * share, 3)["ping"]["latency_ms"]
                points.append((capacity * share / 1000, found["p50"], found["p99"]))
        finally:
            server.stop()
        rate, median, high = zip(*points)
        axes.plot(rate, high, color=COLOURS[kind.key], label=f"{NAMES[kind.key]}, p99")
        axes.plot(rate, median, color=COLOURS[kind.key], linestyle=":", label=f"{NAMES[kind.key]}, p50")
    axes.set(
        xlabel="pings per second, thousands, over 1,000 connections", ylabel="milliseconds", yscale="log",
        title="Time to the pong, at a fixed rate of pings")
    axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.legend(frameon=False, fontsize=9)
    figure.get_layout_engine().set(rect=(0, 0.04, 1, 0.96))
    save(figure, "latency.svg", caption())


def cost_against_connections(bench):
    everybody = (contestants.Limit, contestants.Ours, contestants.Node, contestants.FastAPI)
    counts = rows.Connections.counts
    steps = [rows.Connections(bench, count, everybody).run(min(bench.runs, 3)) for count in counts]
    figure, (processor, memory) = pyplot.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    for key in COLOURS:
        if key in steps[0].values:
            processor.plot(counts, [step.value(key) for step in steps], color=COLOURS[key], label=NAMES[key])
            memory.plot(counts, [step.memory[key] for step in steps], color=COLOURS[key], label=NAMES[key])
    processor.set(title="CPU per ping, one at a time", ylabel="microseconds", xlabel="connections")
    memory.set(title="Resident memory meanwhile", ylabel="MiB", xlabel="connections")
    for axes in (processor, memory):
        axes.set(yscale="log", xticks=counts, xticklabels=[f"{count // 1000}k" for count in counts])
        axes.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    processor.legend(frameon=False, fontsize=9)
    figure.get_layout_engine().set(rect=(0, 0.04, 1, 0.96))
    save(figure, "connections.svg", caption())


def draw(bench, names):
    if "latency" in names:
        latency_against_load(bench)
    if "connections" in names:
        cost_against_connections(bench)
