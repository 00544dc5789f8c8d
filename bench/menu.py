#!/usr/bin/env python3
"""How fast the menu is read: warm (the process' own copies), from Redis and cold, beside nginx and pgbench.

usage: menu.py --url http://127.0.0.1:8010 --pid SERVER --program fynlo-server [--seconds 10] [--user ...]

The server at --url is read warm. Two more are started beside it, on the same databases: one for pages that are in Redis and
one without Redis. Both are asked for more pages, in turn, than a process keeps copies of, so that none of them is ever found
there. The load comes from wrk: one thread, 16 connections. nginx (one worker) sends a page of the same length as a file,
pgbench (four connections, as the server has for menus) executes the statement of MenuRepository.swift for the same pages.
What is not installed is left out with a sentence. DATABASE_URL, REDIS_URL and FYNLO_JWT_SECRET are those of the server.
"""
import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

RESTAURANTS = range(10, 50)
LIMITS = range(48, 53)
PAGES = range(1, 11)
PRODUCTS = 550
OWNER = "bench@example.com"

DATA = f"""
    set session_replication_role = replica;
    insert into users (supabase_id, email, full_name, role) values ('bench', '{OWNER}', 'Bench', 'platform_owner');
    insert into restaurants (id, name) select ('00000000-0000-4000-8000-0000000000' || n)::uuid, 'Casa ' || n
    from generate_series({RESTAURANTS[0]}, {RESTAURANTS[-1]}) n;
    insert into restaurant_streams (restaurant_id) select id from restaurants on conflict do nothing;
    insert into products (restaurant_id, name, description, price, sort_order, image_url)
    select r.id, 'Dish number ' || n, 'Slowly cooked and served warm', n / 10.0, n, 'https://img.example/' || n
    from restaurants r, generate_series(1, {PRODUCTS}) n where r.name like 'Casa __';
    insert into product_modifiers (product_id, name, price) select id, 'Sauce', 0.5 from products;
    set session_replication_role = origin;
    analyze
"""


def target(restaurant, page, limit):
    return f"/api/v1/menu?restaurant_id=00000000-0000-4000-8000-0000000000{restaurant}&page={page}&limit={limit}"


# Neighbours in this list have nothing in common.
ALL = [target(r, p, n) for p in PAGES for n in LIMITS for r in RESTAURANTS]


def psql(sql):
    return subprocess.run(
        ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql, os.environ["DATABASE_URL"]],
        check=True, capture_output=True, text=True).stdout.strip()


def redis_hits():
    path = os.environ["REDIS_URL"].removeprefix("unix:")
    text = subprocess.run(["redis-cli", "-s", path, "info", "stats"], check=True, capture_output=True, text=True).stdout
    return int(re.search(r"keyspace_hits:(\d+)", text)[1])


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def get(url, token):
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token})
    with urllib.request.urlopen(request) as response:
        return response.read(), response.headers


def wait_for(port):
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"Nothing listens on port {port}.")


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def wrk(folder, url, token, targets, seconds, pid):
    """Requests per second, p50 and p99 in ms, CPU per request in us; and how many requests there were."""
    script = os.path.join(folder, "targets.lua")
    with open(script, "w") as file:
        file.write("local targets = {%s}\nlocal next = 0\n" % ",".join(f'"{t}"' for t in targets))
        file.write(f'wrk.headers["Authorization"] = "Bearer {token}"\n')
        file.write("request = function() next = next % #targets + 1; return wrk.format(nil, targets[next]) end\n")
    before = cpu_seconds(pid)
    output = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", "-s", script, url],
        check=True, capture_output=True, text=True).stdout
    used = cpu_seconds(pid) - before
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"Not every request was answered well:\n{output}")
    count = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", output)[1])
    p50, p99 = (milliseconds(re.search(rf"{part}%\s+(\S+)", output)[1]) for part in (50, 99))
    return (rate, p50, p99, used / count * 1e6), count


def report(name, figures):
    rate, p50, p99, cpu = figures
    cpu = "" if cpu is None else f"{cpu:.0f}"
    print(f"| {name} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {cpu} |", flush=True)


def serve(program, port, **variables):
    environment = {**os.environ, "FYNLO_LISTEN": f"127.0.0.1:{port}", **variables}
    server = subprocess.Popen([program, "serve"], env=environment)
    wait_for(port)
    return server


def nginx(folder, body, port):
    with open(os.path.join(folder, "page.json"), "wb") as file:
        file.write(body)
    with open(os.path.join(folder, "nginx.conf"), "w") as file:
        file.write(f"""
            daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
            events {{}}
            http {{
                access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type application/json;
                open_file_cache max=10; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
                fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
                server {{ listen 127.0.0.1:{port}; root {folder}; }}
            }}
        """)
    os.chmod(folder, 0o755)
    server = subprocess.Popen(["nginx", "-c", f"{folder}/nginx.conf"], stderr=subprocess.DEVNULL)
    wait_for(port)
    workers = subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True).stdout.split()
    return server, int(workers[0])


def pgbench(folder, seconds):
    source = os.path.join(os.path.dirname(__file__), "../Sources/FynloServer/Storage/MenuRepository.swift")
    with open(source) as file:
        text = file.read()
    body = re.search(r'func page\(_ name.*?"""\n(.*?)"""', text, re.S)[1]
    condition = re.search(r'page\("menu_page", "(.*?)"\)', text)[1]
    sql = " ".join(body.replace("\\(filter)", condition).split())
    for name, value in [
        ("$1", "('00000000-0000-4000-8000-0000000000' || :restaurant)::uuid"), ("$2", ":limit"),
        ("$3", "(:page - 1) * :limit"), ("$4", "null"),
    ]:
        sql = sql.replace(name, value)
    with open(os.path.join(folder, "menu.sql"), "w") as file:
        file.write(f"\\set restaurant random({RESTAURANTS[0]}, {RESTAURANTS[-1]})\n")
        file.write(f"\\set page random({PAGES[0]}, {PAGES[-1]})\n\\set limit random({LIMITS[0]}, {LIMITS[-1]})\n")
        file.write(sql + ";\n")
    log = os.path.join(folder, "latencies")
    output = subprocess.run(
        ["pgbench", "-n", "-M", "prepared", "-c4", "-j1", f"-T{seconds}", "-l", f"--log-prefix={log}",
         "-f", os.path.join(folder, "menu.sql"), os.environ["DATABASE_URL"]],
        check=True, capture_output=True, text=True).stdout
    rate = float(re.search(r"tps = ([\d.]+)", output)[1])
    times = []
    for name in os.listdir(folder):
        if name.startswith("latencies"):
            with open(os.path.join(folder, name)) as file:
                times += [int(line.split()[2]) / 1000 for line in file]
    times.sort()
    return rate, times[len(times) // 2], times[len(times) * 99 // 100], None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--user", action="append", help="not used here")
    arguments = parser.parse_args()
    seconds, program = arguments.seconds, arguments.program
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed (Debian: wrk), and nothing else makes enough load.")
    psql(DATA)
    token = subprocess.run(
        [program, "token", "--user", OWNER, "--ttl", "1d"], check=True, capture_output=True, text=True).stdout.strip()
    body, _ = get(arguments.url + ALL[0], token)
    print(f"A page has {len(body):,} bytes.\n")
    print("| | requests/s | p50 ms | p99 ms | server CPU µs/request |\n| --- | --- | --- | --- | --- |", flush=True)
    running = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            wrk(folder, arguments.url, token, ALL[:1], 1, arguments.pid)
            report("warm: the process' own copy", wrk(folder, arguments.url, token, ALL[:1], seconds, arguments.pid)[0])
            if shutil.which("nginx"):
                server, worker = nginx(folder, body, 8020)
                running.append(server)
                wrk(folder, "http://127.0.0.1:8020", token, ["/page.json"], 1, worker)
                report("the same bytes from nginx", wrk(
                    folder, "http://127.0.0.1:8020", token, ["/page.json"], seconds, worker)[0])
            else:
                print("nginx is not installed (Debian: nginx-light): left out.", file=sys.stderr)

            server = serve(program, 8011)
            running.append(server)
            for page in ALL:
                get("http://127.0.0.1:8011" + page, token)
            before = redis_hits()
            figures, count = wrk(folder, "http://127.0.0.1:8011", token, ALL, seconds, server.pid)
            report("in Redis", figures)
            share = (redis_hits() - before) / count
            print(f"{share:.0%} of these were answered by Redis.", file=sys.stderr)

            server = serve(program, 8012, REDIS_URL="")
            running.append(server)
            sql = "select xact_commit from pg_stat_database where datname = current_database()"
            wrk(folder, "http://127.0.0.1:8012", token, ALL, 2, server.pid)
            before = int(psql(sql))
            figures, count = wrk(folder, "http://127.0.0.1:8012", token, ALL, seconds, server.pid)
            report("cold: PostgreSQL, by the server", figures)
            time.sleep(1)
            print(f"{(int(psql(sql)) - before) / count:.0%} as many transactions as requests.", file=sys.stderr)
            if shutil.which("pgbench"):
                report("the same statement, by pgbench", pgbench(folder, seconds))
            else:
                print("pgbench is not installed (Debian: postgresql): left out.", file=sys.stderr)
        finally:
            for server in running:
                server.terminate()
                server.wait()


main()
