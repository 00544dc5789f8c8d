"""The servers that are compared. Each is a process on the server's core that listens on a port of 127.0.0.1."""
import os
import subprocess

import machine

HERE = os.path.dirname(os.path.abspath(__file__))


class Contestant:
    """Not running until it is started; `port` and `pid` are those of the process that serves."""

    key = title = None
    scheme = "http"
    # Whether it has priority over everything else on its core.
    is_first = False
    output = subprocess.DEVNULL

    def __init__(self, bench):
        self.bench = bench
        self.process = None

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def start(self):
        self.port = machine.free_port()
        self.process = machine.Process(
            self.command(), self.bench.cores.server, self.environment(), first=self.is_first, stdout=self.output)
        self.process.wait_for_port(self.port)
        return self

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None


class Ours(Contestant):
    key, title = "ours", "ours"

    def __init__(self, bench, **variables):
        super().__init__(bench)
        self.variables = variables

    def command(self):
        return [self.bench.server, "serve"]

    def environment(self):
        # The load sends more than a tablet may; all other limits keep their defaults.
        return {
            "FYNLO_LISTEN": f"127.0.0.1:{self.port}", "FYNLO_LOG": "error", "FYNLO_RATE_LIMIT": "1000000",
            "FYNLO_RATE_BURST": "1000000", **self.variables,
        }


class OursTLS(Ours):
    """With a certificate (ECDSA) of its own; `authority` is the file to trust."""

    key, title = "ours", "ours"
    scheme = "https"

    def __init__(self, bench, **variables):
        self.authority, key = (os.path.join(bench.folder, name) for name in ("certificate.pem", "key.pem"))
        if not os.path.exists(key):
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                 "-keyout", key, "-out", self.authority], check=True, capture_output=True)
        super().__init__(bench, FYNLO_TLS_CERT=self.authority, FYNLO_TLS_KEY=key, **variables)


class Limit(Contestant):
    key, title = "limit", "limit"

    def command(self):
        return [self.bench.limit, str(self.port)]


class LimitWithTurns(Limit):
    """Reports the longest turn of its loop when it is stopped."""

    output = subprocess.PIPE

    def environment(self):
        return {"LIMIT_TURNS": "1"}

    def stop(self):
        process = self.process
        super().stop()
        if process:
            self.longest_turn = float(process.child.stdout.read())


class Node(Contestant):
    key, title = "node", "Node ws"

    def command(self):
        return ["node", os.path.join(HERE, "node/server.js"), str(self.port)]

    def environment(self):
        return {"NODE_PATH": os.pathsep.join(filter(None, ["/usr/share/nodejs", os.environ.get("NODE_PATH")]))}


class FastAPI(Contestant):
    key, title = "fastapi", "FastAPI"

    def command(self):
        return [
            self.bench.uvicorn, "--app-dir", os.path.join(HERE, "fastapi"), "server:app", "--port", str(self.port),
            "--backlog", "4096", "--no-access-log", "--log-level", "error"]


class Nginx(Contestant):
    """One worker that sends `page.json`; its process is the worker's."""

    key, title = "limit", "nginx"

    def __init__(self, bench, body):
        super().__init__(bench)
        self.folder = os.path.join(bench.folder, "nginx")
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o755)
        with open(os.path.join(self.folder, "page.json"), "wb") as file:
            file.write(body)

    def command(self):
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.geteuid() == 0 else ""  # who may read the folder
        with open(os.path.join(self.folder, "nginx.conf"), "w") as file:
            file.write(f"""
                daemon off; worker_processes 1; {user} pid {self.folder}/nginx.pid; error_log {self.folder}/error.log;
                events {{}}
                http {{
                    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
                    default_type application/json; open_file_cache max=10; {temporary}
                    server {{ listen 127.0.0.1:{self.port}; root {self.folder}; }}
                }}
            """)
        return ["nginx", "-c", f"{self.folder}/nginx.conf", "-e", f"{self.folder}/error.log"]

    @property
    def pid(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            return int(file.read().split()[0])
