"""The service in a process of its own"""
import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from .payments import ENCODER
from .project import environment
from .tokens import make_token


class Server:
    """`python wsgi.py` in a process of its own, on a free port, with its log in `log`."""

    # With the host "*" there is an address of each family, each with a port of its own.
    host_pattern = r"[\d.]+"

    def __init__(
        self,
        project: Path,
        settings: dict[str, str],
        command: Sequence[str | Path] = (),
        program: Sequence[str | Path] = (),
    ) -> None:
        self.process = subprocess.Popen(
            [*command, sys.executable, *(program or [project / "wsgi.py"])],
            cwd="/",
            env=environment(**{"PORT": "0"} | settings),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self.port = 0
        if ":" in settings.get("HOST", ""):
            self.host_pattern = r"\[\S+\]"
        self.serves_or_ended = threading.Event()
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()

    def read_log(self) -> None:
        """Read the log to its end. The process would stop if the pipe were full."""
        with self.process.stderr as lines:
            for line in lines:
                self.log.append(line)
                if serving := re.search(rf"Serving on http://{self.host_pattern}:(\d+)\b", line):
                    self.port = int(serving[1])
                    self.serves_or_ended.set()
        self.serves_or_ended.set()

    def wait_until_serving(self) -> None:
        """Wait until it listens on `port`, or has ended and left `port` at 0."""
        assert self.serves_or_ended.wait(timeout=60)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPConnection:
        """Send a request with a token that grants every permission. Return its connection, to read the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Cookie": f"accessToken={make_token()}", "Content-Type": "application/json"} | headers
        connection.request(method, path, ENCODER.encode(body) if body else None, headers)
        return connection

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request with a token that grants every permission. Return the response's status and JSON."""
        with contextlib.closing(self.send(method, path, body, **headers)) as connection:
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text, parse_float=Decimal) if text else None

    def exchange(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes on a connection of their own. Return the response's status, headers and body."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            with http.client.HTTPResponse(connection) as response:
                response.begin()
                headers = {name.lower(): value for name, value in response.getheaders()}
                return response.status, headers, response.read()

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """End the process by a signal and return its exit code."""
        self.process.send_signal(sign)
        return self.wait()

    def wait(self) -> int:
        """Wait for the process to end by itself and return its exit code."""
        code = self.process.wait(timeout=30)
        self.reader.join(timeout=30)
        return code
