"""The users and the database: restaurants of 20 tablets, each with a user of its own.

Restaurant n is 00000000-0000-4000-8000-n, user n is 00000000-0000-4000-9000-n with the subject bench-n.
"""
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import time

USERS = 19_000
PER_RESTAURANT = 20
# The number of restaurants with a menu: more pages than a process caches.
MENU_RESTAURANTS = range(10, 50)
MENU_PRODUCTS = 550
WRITERS = 16

USERS_SQL = f"""
    create function id(p_block text, p_number bigint) returns uuid language sql immutable
    return format('00000000-0000-4000-%s-%s', p_block, lpad(p_number::text, 12, '0'))::uuid;
    insert into restaurants (id, name)
    select id('8000', n), 'Casa ' || n from generate_series(0, {USERS // PER_RESTAURANT}) n;
    insert into users (id, supabase_id, email, full_name, role, restaurant_id)
    select id('9000', n), 'bench-' || n, 'bench-' || n || '@example.com', 'Bench ' || n, 'employee',
        id('8000', n / {PER_RESTAURANT}) from generate_series(0, {USERS - 1}) n;
    insert into users (supabase_id, email, full_name, role)
    values ('bench-owner', 'bench@example.com', 'Bench', 'platform_owner');
"""

# Without triggers: the menu does not change while it is measured, and orders are not news.
MENU_SQL = f"""
    set session_replication_role = replica;
    insert into products (restaurant_id, name, description, price, sort_order, image_url)
    select id('8000', r), 'Dish number ' || n, 'Slowly cooked and served warm', n / 10.0, n, 'https://img.example/' || n
    from generate_series({MENU_RESTAURANTS[0]}, {MENU_RESTAURANTS[-1]}) r, generate_series(1, {MENU_PRODUCTS}) n;
    insert into product_modifiers (product_id, name, price) select id, 'Sauce', 0.5 from products;
    set session_replication_role = origin;
"""


def identifier(block, number):
    return f"00000000-0000-4000-{block}-{number:012d}"


def token(subject):
    """Makes a token that is valid for a day, signed with FYNLO_JWT_SECRET (HS256)."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = json.dumps({"sub": subject, "exp": int(time.time()) + 86_400}).encode()
    text = part(b'{"alg":"HS256","typ":"JWT"}') + "." + part(claims)
    secret = os.environ["FYNLO_JWT_SECRET"].encode()
    return text + "." + part(hmac.new(secret, text.encode(), hashlib.sha256).digest())


class Database:
    """The bench's PostgreSQL, at DATABASE_URL; `programs` is the directory of psql and pgbench."""

    def __init__(self, programs):
        self.programs = programs
        self.url = os.environ["DATABASE_URL"]
        self.has = set()
        self.orders = 0

    def run(self, sql):
        """Runs SQL as the superuser of the bench's own database."""
        url = self.url.replace("://fynlo@", "://postgres@")
        return subprocess.run(
            [f"{self.programs}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", url], input=sql, check=True, capture_output=True,
            text=True).stdout.strip()

    def once(self, name, sql):
        if name not in self.has:
            self.has.add(name)
            self.run(sql)

    def prepare_users(self):
        self.once("users", USERS_SQL + "analyze;")

    def prepare_menu(self):
        self.prepare_users()
        self.once("menu", MENU_SQL + "analyze;")

    def add_orders(self, count):
        """Orders in `draft`, each of the restaurant of its number modulo WRITERS. Returns the first one's number.

        Whoever changes them next finds no dead rows of who did before: a restaurant's stream is one row, with thousands of them."""
        self.prepare_users()
        first, self.orders = self.orders, self.orders + count
        self.run(f"""
            set session_replication_role = replica;
            insert into orders (id, restaurant_id, order_number)
            select id('a000', n), id('8000', n % {WRITERS}), n from generate_series({first}, {first + count - 1}) n;
            set session_replication_role = origin;
            vacuum analyze orders, restaurant_streams, restaurant_events, processed_commands, pending_changes""")
        return first

    def pgbench(self, path, clients, seconds, **variables):
        """Transactions per second of a file, with prepared statements, in sessions like the servers'."""
        environment = {**os.environ, "PGOPTIONS": "-c fynlo.server=on"}
        definitions = [word for name, value in variables.items() for word in ("-D", f"{name}={value}")]
        output = subprocess.run(
            [f"{self.programs}/pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(seconds),
             *definitions, "-f", path, self.url], env=environment, check=True, capture_output=True, text=True).stdout
        return float(re.search(r"tps = ([\d.]+)", output)[1])


def statement(file, pattern):
    """SQL out of a source file of the server, so that both always execute the same: what `pattern` has in its group."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../Sources/FynloServer/Storage", file)
    with open(path) as source:
        found = re.search(pattern, source.read(), re.S)
    if not found:
        raise SystemExit(f"{file} has not the statement any more that bench/data.py looks for.")
    return " ".join(found[1].split())


def write_accounts(path, numbers):
    """For `fynlo load --accounts`."""
    with open(path, "w") as file:
        for n in numbers:
            file.write(f"{identifier('8000', n // PER_RESTAURANT)} {identifier('9000', n)} {token(f'bench-{n}')}\n")
    return path
