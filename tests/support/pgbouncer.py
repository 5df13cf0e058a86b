"""A real PgBouncer before PostgreSQL"""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg

from .nginx import free_port
from .postgresql import USER
from .waiting import wait_until

# PATH may lack the folder that Debian installs it in.
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")

# As few connections as a busy pooler has for each client.
CONNECTIONS = 3
CONFIGURATION = """
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {connections}
logfile = {folder}/log
pidfile = {folder}/pid
"""


class PgBouncer:
    """PgBouncer in a process of its own, before the server of a database, in a pool mode: session, transaction..."""

    def __init__(self, database_url: str, mode: str) -> None:
        self.database = urlsplit(database_url)
        self.port = free_port()
        # Not below pytest's folder, which only its own user can read.
        self.folder = Path(tempfile.mkdtemp(prefix="payments-pgbouncer-"))
        self.folder.chmod(0o755)
        values = {"host": self.database.hostname, "server_port": self.database.port or 5432, "port": self.port}
        values |= {"folder": self.folder, "mode": mode, "connections": CONNECTIONS}
        (self.folder / "ini").write_text(CONFIGURATION.format_map(values))
        (self.folder / "users").write_text(f'"{self.database.username}" "{unquote(self.database.password or "")}"\n')
        if USER:
            shutil.chown(self.folder, USER["user"])
        self.process = subprocess.Popen([PGBOUNCER, "-q", self.folder / "ini"], stderr=subprocess.DEVNULL, **USER)
        wait_until(self.accepts_connections)

    def accepts_connections(self) -> bool:
        """Tell whether it accepts connections. Fails if it has ended."""
        try:
            psycopg.connect(self.url()).close()
            return True
        except psycopg.OperationalError:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            return False

    def url(self) -> str:
        """Return the URL of the database through it."""
        user = self.database.netloc.rpartition("@")[0]
        return self.database._replace(netloc=f"{user}@127.0.0.1:{self.port}").geturl()

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.process.kill()
        self.process.wait(timeout=30)
        shutil.rmtree(self.folder)
