"""Run the server: listen, serve, and stop without losing a response."""
import contextlib
import ctypes
import gc
import logging
import math
import resource
import signal
import socket
import sys
import threading
from time import monotonic
from typing import Any

import flask
import waitress
from waitress import wasyncore
from waitress.server import BaseWSGIServer
from waitress.trigger import trigger

from .. import database
from ..settings import join_host_and_port
from ..web.error_handlers import MAX_HEADER_BYTES
from . import systemd
from .channel import Channel
from .dispatcher import Dispatcher
from .parser import MAX_DISCARDED_BYTES
from .proxy import trust_proxy
from .settling import SettlingThread

# Connections at once. LimitNOFILE in deploy/payments.service allows the files for them and a quarter more.
CONNECTION_LIMIT = 4000
# A longer response, such as a list of thousands of payments, is buffered in a file. By default waitress 3.0.2 keeps up
# to 16 MiB of each in memory, even what it has sent already.
RESPONSE_BYTES_IN_MEMORY = 256 * 1024
# A response up to this size is sent in one piece. By default (1) waitress 3.0.2 sends the head on its own, and serves
# 0.72 as many GET requests. Drop when waitress sends head and body together.
SEND_BYTES = 18_000
# Time for running requests to finish when the service is told to stop.
STOP_TIMEOUT_SECONDS = 5
STOP_POLL_SECONDS = 1 / 10
CHECK_SECONDS = 1
# How long a thread may run Python code while another one waits for its turn. With Python's 5 ms, half of the payments
# that were recorded beside a list of a million took over 11 ms, and over 9 ms with this.
SWITCH_SECONDS = 1 / 2000
# The key of glibc's setting for the number of heaps (malloc.h).
M_ARENA_MAX = -8

logger = logging.getLogger(__name__)


def serve(app: flask.Flask) -> None:
    """Serve `app` until SIGTERM or SIGINT, and let running requests finish. Exits with one line if it cannot listen."""
    _share_one_heap()
    sys.setswitchinterval(SWITCH_SECONDS)
    sockets: dict[int, Any] = {}
    stopping = threading.Event()
    waker = trigger(sockets)

    def stop(*_: Any) -> None:
        # waitress 3.0.2 expects an exception here. Raised in the middle of a send, it can send the same bytes twice.
        stopping.set()
        waker.pull_trigger()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    dispatcher = Dispatcher(lambda seconds: _send_and_receive(sockets, seconds))
    listeners = _listen(app, dispatcher, sockets)
    dispatcher.set_thread_count(app.config["THREADS"])
    settling = SettlingThread(app)
    settling.start()
    # What exists now lives as long as the process: the garbage collector need not scan it while requests wait.
    gc.freeze()
    for listener in listeners:
        address = f"http://{join_host_and_port(listener.effective_host, listener.effective_port)}"
        logger.info("Serving on %s", address, extra={"docs": f"{address}/docs"})
    systemd.notify("READY=1")
    database.check_beside(app)
    checked = monotonic()
    while not stopping.is_set():
        dispatcher.supervise()
        if monotonic() - checked >= CHECK_SECONDS:
            checked = monotonic()
            with dispatcher.loop_lock:
                _close_overdue(sockets)
            database.watch(app)
    logger.info("Stopping")
    systemd.notify("STOPPING=1")
    settling.stop()
    _finish(dispatcher, sockets)
    database.close(app)


def _share_one_heap() -> None:
    """Let all threads allocate from one heap. Call it before the first thread starts.

    glibc gives each thread a heap of its own, so that threads that run in parallel need not wait. Python's do not: with
    one heap, the service takes 6 MiB less after ten thousand requests.
    """
    # Another libc has no such setting.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def _listen(app: flask.Flask, dispatcher: Dispatcher, sockets: dict[int, Any]) -> list[BaseWSGIServer]:
    """Return the listening sockets: a host name can have several addresses. Exits with one line if it cannot listen."""
    try:
        server = waitress.create_server(
            trust_proxy(app, app.config["TRUSTED_PROXY"]),
            map=sockets,
            _dispatcher=dispatcher,
            host=app.config["HOST"],
            port=app.config["PORT"],
            # waitress rejects a size that equals a limit, the service only one that exceeds it.
            max_request_body_size=MAX_DISCARDED_BYTES + 1,
            max_request_header_size=MAX_HEADER_BYTES + 1,
            connection_limit=_connection_limit(),
            ident=None,
            send_bytes=SEND_BYTES,
            outbuf_overflow=RESPONSE_BYTES_IN_MEMORY,
            # trust_proxy has read X-Forwarded-For. find_root reads X-Forwarded-Proto, also from an unnamed proxy.
            clear_untrusted_proxy_headers=False,
        )
    except (OSError, ValueError) as error:
        address = f"PAYMENTS_HOST {app.config['HOST']!r} and PAYMENTS_PORT {app.config['PORT']}"
        sys.exit(f"payments: cannot listen on {address}: {error}")
    # create_server has no argument for this. By itself the send buffer grows to 4 MiB on Linux, and a client seems to
    # have stopped until it has read a third of that. One that read 20 kB/s was closed within 45 s; with this it is not.
    send_buffer = (socket.SOL_SOCKET, socket.SO_SNDBUF, RESPONSE_BYTES_IN_MEMORY)
    server.adj.socket_options = [*server.adj.socket_options, send_buffer]
    # A host name can have several addresses, with a listening socket each.
    listeners = [listener for listener in sockets.values() if isinstance(listener, BaseWSGIServer)]
    for listener in listeners:
        listener.channel_class = Channel
        # waitress closes idle connections by the wall clock. `Channel.is_overdue` does it by monotonic time.
        listener.next_channel_cleanup = math.inf
    return listeners


def _connection_limit() -> int:
    """Return how many connections to accept. A fifth of the files is left to the database, the log and buffers."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTION_LIMIT if soft == resource.RLIM_INFINITY else min(CONNECTION_LIMIT, soft * 4 // 5)


def _close_overdue(sockets: dict[int, Any]) -> None:
    for channel in [channel for channel in sockets.values() if isinstance(channel, Channel)]:
        if channel.is_overdue():
            channel.handle_close()


def _finish(dispatcher: Dispatcher, sockets: dict[int, Any]) -> None:
    """Start no more requests; give running ones `STOP_TIMEOUT_SECONDS` to finish and to send their responses."""
    dispatcher.set_thread_count(0)
    deadline = monotonic() + STOP_TIMEOUT_SECONDS
    while monotonic() < deadline:
        unsent = {number: channel for number, channel in sockets.items() if getattr(channel, "total_outbufs_len", 0)}
        if not unsent and not dispatcher.threads:
            break
        # A thread with a response that it cannot send at once pulls a trigger.
        triggers = {number: waker for number, waker in sockets.items() if isinstance(waker, trigger)}
        with dispatcher.loop_lock:
            _send_and_receive(unsent | triggers, STOP_POLL_SECONDS)


def _send_and_receive(sockets: dict[int, Any], seconds: float) -> None:
    """Send and receive all that the sockets can, once one of them can or after some seconds."""
    # poll(): select() takes no more than 1,024 files.
    wasyncore.loop(timeout=seconds, use_poll=True, map=sockets, count=1)
