"""The table, as Markdown."""


def figure(value, digits):
    return "" if value is None else f"{value:,.{digits}f}"


HEAD = ("work", "limit", "ours", "ratio", "wanted", "reached", "Node ws", "FastAPI", "load's CPU")


def line(row):
    reached = {None: "", True: "yes", False: "**no**"}[row.is_reached]
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    if ratio and row.spread:
        ratio += " ({:.2f}–{:.2f})".format(*row.spread)
    cores = f"{row.load_cores:.2f}" if row.load_cores else ""
    if row.load_cores >= 0.95:
        cores += " (the bottleneck)"
    values = [figure(row.value(key), row.digits) for key in ("limit", "ours", "node", "fastapi")]
    return (f"{row.title}, {row.unit}", *values[:2], ratio, row.wanted, reached, *values[2:], cores)


def markdown(rows):
    lines = [HEAD, ("---",) * len(HEAD)]
    for row in rows:
        for step in getattr(row, "steps", ()):
            lines.append(line(step))
        lines.append(line(row))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
