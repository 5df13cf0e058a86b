"""Serving in a thread"""
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from typing import TypeVar

S = TypeVar("S", bound=BaseServer)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Let a server answer in a thread until the block ends, and close it."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=[1 / 100])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
