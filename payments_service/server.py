"""waitress as this service runs it: its limits, its stop, and its refusals in the one JSON shape."""
import gc
import json
import logging
import os
import re
import resource
import signal
import socket
import sys
import threading
from time import monotonic, time
from typing import Any

import flask
import uuid_utils
import waitress
from waitress import wasyncore
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import BaseWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask
from waitress.trigger import trigger
from waitress.utilities import BadRequest, RequestEntityTooLarge

from . import database
from .web.error_handlers import MAX_HEADER_BYTES as HEADER_LIMIT, make_error_body as error_body
from .web.parsing import MAX_BODY_BYTES as BODY_LIMIT
from .web.responses import DEFAULT_HEADERS as ANSWER_HEADERS

# A body up to this size is read to its end before it is refused, unless the sender asks first.
DISCARD_LIMIT = 16 * 1024 * 1024
TRANSFER_ENCODING = re.compile(rb"^transfer-encoding:[ \t]*(.*?)[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
MANY_BLANKS = re.compile(rb"[ \t]{100}")
STOP_SECONDS = 5
# How long a client may take to send a whole request, and to go on reading an answer.
PATIENCE_SECONDS = 30
# A longer answer, such as a list of thousands, goes by way of a file: in memory, waitress keeps also what it has sent,
# up to 16 MiB for each client.
ANSWER_BYTES_IN_MEMORY = 256 * 1024
# How much of an answer, on the disk, waits for its client before a thread does: a list of about a million payments. How
# long a thread waits then, for the client to read most of that.
WAITING_BYTES = 256 * 1024 * 1024
THREAD_SECONDS = 300
# Up to this size an answer is sent at once, its head with its body, and not in pieces.
SEND_BYTES = 18_000
# A request that has to wait for so long for the one before it gets a thread of its own.
QUICK_SECONDS = 1 / 1000
FILES = 5000
STOP_STEP_MILLISECONDS = 100

NOTHING = object()

logger = logging.getLogger(__name__)


class DiscardingParser(HTTPRequestParser):
    """Leaves the refusal of a body over the limit to the application, and the body out.

    The application knows what to refuse first. The body is read all the same: if waitress closed at once, a sender in
    the middle of it might never see the refusal.
    """

    to_discard = 0
    expect_continue: bool
    error: Any

    def received(self, data: bytes) -> int:
        """Take in some bytes of the request and return how many."""
        if self.to_discard:
            taken = min(self.to_discard, len(data))
            self.to_discard -= taken
            self.completed = not self.to_discard
            return taken
        try:
            taken = super().received(data)
        except ValueError as error:
            # Such as a Content-Length of thousands of digits, which waitress leaves to int.
            self.error = BadRequest(str(error))
            self.completed = True
            taken = len(data)
        if isinstance(self.error, RequestEntityTooLarge):
            self._leave_to_application()
        if self.completed:
            # Waitress would ask for a body that is not to come, and take the next request for a part of this one.
            self.expect_continue = False
        return taken

    def _leave_to_application(self) -> None:
        self.error = self.body_rcv = None
        if self.chunked:
            self.headers["CONTENT_LENGTH"] = str(self.body_bytes_received)
            self.headers["CONNECTION"] = "close"
        elif self.expect_continue or self.content_length > DISCARD_LIMIT:
            self.headers["CONNECTION"] = "close"
        else:
            self.to_discard = self.content_length
            self.completed = False

    def parse_header(self, header_plus: bytes) -> None:
        """Take in the headers; raises `ParsingError` for what other servers may take for another request's end."""
        # waitress takes time by the square of their number to see that they mean nothing.
        if MANY_BLANKS.search(header_plus):
            raise ParsingError("Too many blanks in a row")
        super().parse_header(header_plus)
        encodings = [encoding.lower() for encoding in TRANSFER_ENCODING.findall(header_plus)]
        if not encodings:
            return
        # RFC 9112, section 6.1.
        if encodings != [b"chunked"] or self.version != "1.1" or "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Transfer-Encoding is not chunked alone")


class JsonErrorTask(ErrorTask):
    """What waitress answers by itself to a request that is malformed or over its limits."""

    def execute(self) -> None:
        """Write the answer."""
        code = self.request.error.code
        refusal = error_body(code)
        body = json.dumps(refusal, separators=(",", ":")).encode() + b"\n"
        self.status = f"{code} {refusal['status']}"
        request_id = uuid_utils.uuid4().hex
        headers = {"Content-Type": "application/json", "X-Request-Id": request_id} | ANSWER_HEADERS
        self.response_headers += headers.items()
        self.set_close_on_finish()
        self.content_length = len(body)
        logger.info("request", extra={"address": self.channel.addr[0], "status": code, "request_id": request_id})
        self.write(body)


class Task(WSGITask):
    """A request for the application."""

    def finish(self) -> None:
        """End the answer."""
        if self.request.command == "HEAD":
            # Waitress would also send the end of a body in chunks.
            self.write(b"")
        else:
            super().finish()


class Channel(HTTPChannel):
    """A connection that knows when its client has taken too long."""

    parser_class = DiscardingParser
    task_class = Task
    error_task_class = JsonErrorTask
    # The request that is being received; before the first, nothing.
    received_request: Any = NOTHING
    # Since when a thread waits for the client.
    thread_waits_since: Any = None

    def __init__(self, server: Any, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        # By itself it would grow to megabytes. As much would be read from an answer's file each time, and a client that
        # reads slowly would seem to have stopped until it has read a third of that.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ANSWER_BYTES_IN_MEMORY)
        super().__init__(server, sock, *args, **kwargs)
        self.received_since = monotonic()

    def handle_read(self) -> None:
        """Take in what the client has sent."""
        super().handle_read()
        if self.request is not self.received_request:
            self.received_request, self.received_since = self.request, monotonic()

    def write_soon(self, data: Any) -> int:
        """Take a part of an answer; raises `ClientDisconnected` if there is no room for what is not sent."""
        try:
            return super().write_soon(data)
        except OSError as error:
            logger.error("There is no room for the rest of an answer, which is broken off: %s", error)
            # What waitress has of it is not whole either: it would look for it until the client has taken too long.
            self.will_close = True
            self.server.pull_trigger()
            raise ClientDisconnected from error

    def handle_write(self) -> None:
        """Send what there is to send."""
        if self.requests:
            # waitress would keep less than SEND_BYTES until no request is left, and come here all the while.
            self._flush_exception(self._flush_some_if_lockable)
        super().handle_write()

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Let the thread wait while very much of its answer is not sent: waitress does at 16 MiB, and then till there.

        Else a few clients that are slow to read a long list would take all threads.
        """
        if self.total_outbufs_len > WAITING_BYTES:
            self.thread_waits_since = monotonic()
            super()._flush_outbufs_below_high_watermark()
            self.thread_waits_since = None

    def is_overdue(self) -> bool:
        """Tell whether the client is too slow to send a request or to read an answer; to be asked every second.

        Waitress itself counts from the last byte, and does not close a connection that takes no bytes.
        """
        if self.total_outbufs_len or self.requests:
            # Nothing is received meanwhile.
            self.received_since = monotonic()
        if self.total_outbufs_len:
            waits_since = self.thread_waits_since
            if waits_since is not None and monotonic() - waits_since > THREAD_SECONDS:
                return True
            return time() - self.last_activity > PATIENCE_SECONDS
        return self.received_request is not None and monotonic() - self.received_since > PATIENCE_SECONDS


class Dispatcher(ThreadedTaskDispatcher):
    """Gives requests to one thread for as long as it is quick, and to more when it has to wait for something.

    Python runs one thread at a time. Each of several that have a request hands over to another whenever it reads a row
    or writes a line, and all that takes longer than the rest of a request.
    """

    # The request that has waited longest, and since when it has been the one.
    longest_waiting: Any = None
    since: Any = 0

    def add_task(self, task: Any) -> None:
        """Add a request; a thread that is at work comes to it by itself."""
        with self.lock:
            self.queue.append(task)
            if len(self.queue) == 1 and not self.active_count:
                self.queue_cv.notify()

    def relieve(self) -> Any:
        """Wake another thread if a request waits for too long; return after how many seconds to ask again."""
        with self.lock:
            if not self.queue or self.active_count == len(self.threads):
                self.longest_waiting = None
                return 1
            if self.queue[0] is not self.longest_waiting:
                self.longest_waiting, self.since = self.queue[0], monotonic()
            elif monotonic() - self.since >= QUICK_SECONDS:
                self.queue_cv.notify()
                self.since = monotonic()
            return QUICK_SECONDS


def serve(app: flask.Flask) -> None:
    """Serve `app` until SIGTERM or Ctrl-C, and finish what runs then. Exits with one line if it cannot listen."""
    BaseWSGIServer.channel_class = Channel
    sockets: dict[int, Any] = {}
    stopping = threading.Event()
    waker = trigger(sockets)

    def stop(*_: Any) -> None:
        # waitress' own way, an exception in whatever it does at the moment, can send a part of an answer twice.
        stopping.set()
        waker.pull_trigger()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    dispatcher = Dispatcher()
    try:
        server = waitress.create_server(
            app,
            map=sockets,
            _dispatcher=dispatcher,
            host=app.config["HOST"],
            port=app.config["PORT"],
            # waitress refuses what reaches its limits, we what exceeds ours.
            max_request_body_size=BODY_LIMIT + 1,
            max_request_header_size=HEADER_LIMIT + 1,
            connection_limit=_connection_limit(),
            ident=None,
            send_bytes=SEND_BYTES,
            outbuf_overflow=ANSWER_BYTES_IN_MEMORY,
            **_proxy_options(app.config["TRUSTED_PROXY"]),
        )
    except (OSError, ValueError) as error:
        address = f"PAYMENTS_HOST {app.config['HOST']!r} and PAYMENTS_PORT {app.config['PORT']}"
        sys.exit(f"payments: cannot listen on {address}: {error}")
    dispatcher.set_thread_count(app.config["THREADS"])
    # What was made until now stays; the garbage collector need not look through it while requests wait.
    gc.freeze()
    server.print_listen("Serving on http://{}:{}")
    _tell_systemd("READY=1")
    looked = monotonic()
    while not stopping.is_set():
        # poll, because select takes no more than a thousand sockets.
        wasyncore.loop(timeout=dispatcher.relieve(), use_poll=True, map=sockets, count=1)
        if monotonic() - looked >= 1:
            looked = monotonic()
            _close_overdue(sockets)
    logger.info("Stopping")
    _tell_systemd("STOPPING=1")
    _finish(dispatcher, sockets)
    database.close(app)


def _proxy_options(address: str | None) -> dict[str, Any]:
    """Return what makes waitress believe what a proxy says of its callers."""
    return {"trusted_proxy": address, "trusted_proxy_headers": {"x-forwarded-for"}} if address else {}


def _tell_systemd(state: str) -> None:
    """Send a state where systemd waits for it (sd_notify(3)), without a library: it is one datagram."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # @ stands for the NUL that begins the name of an abstract socket.
            sender.connect(re.sub("^@", "\0", address))
            sender.send(state.encode())
    except OSError as error:
        logger.warning("NOTIFY_SOCKET %s does not take %s: %s", address, state, error)


def _close_overdue(sockets: dict[int, Any]) -> None:
    for channel in [channel for channel in sockets.values() if isinstance(channel, Channel)]:
        if channel.is_overdue():
            channel.handle_close()


def _connection_limit() -> int:
    """Return how many connections to take, after letting the process open as many files as it may and should."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        soft = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # The rest is for the database on each thread, the log, and answers that wait on the disk.
    return min(soft, FILES) * 4 // 5


def _finish(dispatcher: Any, sockets: dict[int, Any]) -> None:
    """Let running requests end and send their answers, for five seconds at most, and start no others."""
    dispatcher.set_thread_count(0)
    deadline = monotonic() + STOP_SECONDS
    while monotonic() < deadline:
        unsent = {number: channel for number, channel in sockets.items() if getattr(channel, "total_outbufs_len", 0)}
        if not unsent and not dispatcher.threads:
            break
        # A thread with an answer too long to send by itself pulls a trigger.
        triggers = {number: socket for number, socket in sockets.items() if isinstance(socket, trigger)}
        wasyncore.loop(timeout=STOP_STEP_MILLISECONDS / 1000, use_poll=True, map=unsent | triggers, count=1)
