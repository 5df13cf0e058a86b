"""Calls of a Lightning node's HTTP API, limited in time and size."""
import http.client
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..codec import parse_json
from ..errors import BackendFault, MalformedBody

# For a whole call: looking up the name, connecting, TLS, and the response to its last byte.
CALL_SECONDS = 10
MAX_RESPONSE_BYTES = 256 * 1024

MEANINGS = {
    401: "rejects the key",
    403: "does not permit this to the key",
    404: "does not know the key, or the URL is not its API's",
    429: "limits the rate of calls",
}


class Client:
    """Calls one node. It follows no redirects and uses no proxies, so only the node of the URL gets the key."""

    def __init__(self, node: str, url: str, headers: Mapping[str, str]) -> None:
        """Take the name of the node's software for faults, the URL of its API, and the headers that have the key."""
        parts = urlsplit(url)
        self._node = node
        self._host, self._port = str(parts.hostname), parts.port
        self._path = parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._headers = {"Accept": "application/json", "User-Agent": "payments-service"} | dict(headers)

    def ask(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Any:
        """Return what the node responds: JSON, not null, with each number as an exact Decimal.

        Raises `BackendFault` for everything else.
        """
        return self._read(*self.send(method, path, body, content_type))

    def find(self, path: str) -> Any:
        """Get what the node responds, as `ask` does, but None if it responds with status 404."""
        status, response = self.send("GET", path)
        return None if status == 404 else self._read(status, response)

    def send(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> tuple[int, bytes]:
        """Return the status and the body of the response, whatever they are; raises `BackendFault` without one."""
        headers = self._headers | ({"Content-Type": content_type} if content_type else {})
        call = _Call(self._connect(), method, self._path + path, body, headers)
        try:
            return call.finish_within(CALL_SECONDS)
        except _CallFailed as error:
            raise self.fault(str(error)) from None

    def fault(self, reason: str) -> BackendFault:
        """Return a fault to raise that names the node. The reason has neither the key nor text of the node."""
        return BackendFault(f"{self._node} {reason}")

    def _read(self, status: int, response: bytes) -> Any:
        if status not in (200, 201):
            meaning = "redirects, which is not followed" if 300 <= status < 400 else "fails"
            raise self.fault(f"{MEANINGS.get(status, meaning)} (status {status})")
        try:
            value = parse_json(response)
        except MalformedBody:
            value = None
        if value is None:
            raise self.fault("responds with invalid JSON")
        return value

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls:
            return http.client.HTTPSConnection(self._host, self._port, timeout=CALL_SECONDS, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=CALL_SECONDS)


class _CallFailed(Exception):
    """A call has no response that could be used; the message says why, and is safe to log."""


class _Call:
    """One call in a thread of its own.

    A timeout of a socket limits a single step of the exchange alone, and nothing limits the lookup of a name.
    """

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> None:
        self._connection = connection
        self._request = (method, path, body, headers)
        self._abandoned = False
        self._response: tuple[int, bytes] | None = None
        self._failure = ""

    def finish_within(self, seconds: int) -> tuple[int, bytes]:
        """Return the status and the body of the response; raises `_CallFailed`."""
        try:
            thread = threading.Thread(target=self._run, name="call of the Lightning node", daemon=True)
            thread.start()
        except RuntimeError:
            raise _CallFailed("cannot be called: the machine starts no more threads") from None
        thread.join(seconds)
        if thread.is_alive():
            self._abandon()
            raise _CallFailed(f"does not respond within {seconds} seconds")
        if self._response is None:
            raise _CallFailed(self._failure)
        return self._response

    def _run(self) -> None:
        try:
            self._response = self._exchange()
        except _CallFailed as error:
            self._failure = str(error)
        except ssl.SSLCertVerificationError as error:
            self._failure = f"has no valid certificate: {error.verify_message}"
        except TimeoutError:
            self._failure = f"does not respond within {CALL_SECONDS} seconds"
        except OSError as error:
            self._failure = f"cannot be reached: {error.strerror or type(error).__name__}"
        # Their messages quote the response, or the header with the key.
        except Exception as error:
            self._failure = f"responds with invalid HTTP: {type(error).__name__}"
        finally:
            self._connection.close()

    def _exchange(self) -> tuple[int, bytes]:
        self._connection.connect()
        # Nobody waits for what the node would do now.
        if self._abandoned:
            raise _CallFailed("does not respond")
        self._connection.request(*self._request)
        response = self._connection.getresponse()
        body = response.read(MAX_RESPONSE_BYTES + 1)
        if len(body) > MAX_RESPONSE_BYTES:
            raise _CallFailed(f"responds with more than {MAX_RESPONSE_BYTES} bytes")
        return response.status, body

    def _abandon(self) -> None:
        """Let the thread end. The connection is open if it has got so far."""
        self._abandoned = True
        try:
            self._connection.sock.shutdown(2)
        except (AttributeError, OSError):
            pass
