"""Slow clients and many clients: others are served"""
import contextlib
import fcntl
import os
import resource
import shutil
import socket
import struct
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from ..support.engines import on_sqlite
from ..support.faketime import needs_faketime
from ..support.payments import ENCODER, payment
from ..support.project import PROJECT
from ..support.tokens import make_token
from ..support.waiting import wait_until

LIMITED_SERVER = PROJECT / "tests" / "support" / "limited_server.py"
# More than waitress's 16 MiB, and less than the list of very_many_payments.
BUDGET = 24 * 2**20

# They wait for timeouts of a second.
pytestmark = [on_sqlite, pytest.mark.alone]


@pytest.fixture
def connect():
    """Open connections. They are closed after the test."""
    with contextlib.ExitStack() as opened:

        def connect(server, sent=b""):
            connection = opened.enter_context(socket.socket())
            # A small buffer, so that a response that is not read stays with the server.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.settimeout(30)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(sent)
            return connection

        yield connect


@pytest.fixture
def many_files():
    """Raise the limit of open files, for many connections."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 2000:
        pytest.skip("this machine lets a process open no more than a thousand files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(2000, before[0]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("sent", [b"", b"POST /payments HTTP/1.1\r\nHost: box\r\n"], ids=["silent", "slow"])
def test_others_are_served_beside_a_thousand_slow_connections(many_files, server, connect, sent):
    for _ in range(1200):
        connect(server, sent)
    assert server.request("POST", "/payments", payment())[0] == 201


@pytest.mark.parametrize("files", [64, 1024])
def test_a_process_that_may_open_few_files_still_serves(start_server, connect, files):
    server = start_server(command=["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh"])
    for _ in range(files // 2):
        connect(server)
    assert server.request("POST", "/payments", payment())[0] == 201


def test_a_client_that_takes_too_long_to_send_a_request_is_left(start_with_short_timeouts, connect):
    server = start_with_short_timeouts()
    connection = connect(server, b"GET /payments HTTP/1.1\r\n")
    connection.settimeout(1 / 10)

    def drip():
        try:
            connection.sendall(b"x")
            return connection.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    wait_until(drip)
    assert server.request("GET", "/payments")[0] == 204


def test_a_client_that_sends_nothing_is_left(start_with_short_timeouts, connect):
    server = start_with_short_timeouts()
    assert connect(server).recv(1) == b""
    assert server.request("GET", "/payments")[0] == 204


def test_a_connection_may_last_longer_than_a_request_timeout(start_with_short_timeouts, connect):
    server = start_with_short_timeouts()
    with contextlib.closing(server.send("GET", "/payments/methods")) as kept:
        assert kept.getresponse().read()
        # The second connection is closed after the timeout of a request.
        assert connect(server).recv(1) == b""
        # In two parts, so that the second needs the connection to be still open.
        kept.sock.sendall(b"GET /payments/methods HTTP/1.1\r\n")
        assert server.request("GET", "/payments/methods")[0] == 200
        kept.sock.sendall(f"Cookie: accessToken={make_token()}\r\n\r\n".encode())
        assert kept.sock.recv(65536).startswith(b"HTTP/1.1 200")


def test_the_client_is_not_timed_out_for_a_slow_service(start_with_short_timeouts, connect, rows):
    server = start_with_short_timeouts()
    body = ENCODER.encode(payment())
    head = f"POST /payments HTTP/1.1\r\nHost: box\r\nCookie: accessToken={make_token()}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    rows.lock()
    connection = connect(server, head.encode() + body + b"GET /payments HTTP/1.1\r\n")
    # This one is closed by its timeout, which the other one has reached by then.
    assert connect(server).recv(1) == b""
    rows.unlock()
    assert connection.recv(65536).startswith(b"HTTP/1.1 201")


@pytest.fixture
def start_with_short_timeouts(start_server):
    """Start a server with timeouts of a second: the named ones, or those of requests."""

    def start(*names, **options):
        timeouts = [f"{name}_TIMEOUT_SECONDS=1" for name in names or ("READ", "WRITE", "BLOCKED_THREAD")]
        program = [LIMITED_SERVER, PROJECT, *timeouts, f"MAX_BUFFERED_BYTES={BUDGET}"]
        return start_server(program=program, **options)

    return start


@pytest.fixture
def many_payments(app, insert_payments):
    """Insert payments for a response that does not fit into the buffers of the sockets."""
    insert_payments(*({"id": f"{number:032x}", "transaction_id": f"txn-{number}"} for number in range(50_000)))


@pytest.fixture
def very_many_payments(many_payments, insert_payments):
    """Insert more, for a response whose thread waits until the client has read most of it."""
    numbers = range(50_000, 200_000)
    insert_payments(*({"id": f"{number:032x}", "transaction_id": f"txn-{number}"} for number in numbers))


def test_clients_that_never_read_occupy_no_thread(many_payments, start_with_short_timeouts, connect):
    server = start_with_short_timeouts(THREADS="2")
    request = f"GET /payments HTTP/1.1\r\nHost: box\r\nCookie: accessToken={make_token()}\r\n\r\n".encode()
    # More responses on each connection than waitress buffers before the thread blocks.
    for _ in range(3):
        connect(server, request * 5)
    # The first requests get a response before the threads reach the responses that block.
    assert {server.request("GET", "/payments/methods")[0] for _ in range(40)} == {200}


def test_clients_that_read_very_slowly_occupy_no_thread(very_many_payments, start_with_short_timeouts, connect):
    server = start_with_short_timeouts(THREADS="1")
    request = f"GET /payments HTTP/1.1\r\nHost: box\r\nCookie: accessToken={make_token()}\r\n\r\n".encode()
    connections = [connect(server, request) for _ in range(2)]
    done = threading.Event()

    def trickle(connection):
        with contextlib.suppress(OSError):
            while connection.recv(10_000) and not done.wait(1 / 100):
                pass

    with ThreadPoolExecutor(2) as readers:
        try:
            for connection in connections:
                readers.submit(trickle, connection)
            assert {server.request("GET", "/payments/methods")[0] for _ in range(10)} == {200}
        finally:
            done.set()


@pytest.mark.skipif(not shutil.which("prlimit"), reason="needs prlimit")
def test_a_response_that_does_not_fit_on_the_disk_is_cut_off(many_payments, start_server, connect):
    server = start_server(command=["prlimit", "--fsize=1000000"])
    connection = connect(server, f"GET /payments HTTP/1.0\r\nCookie: accessToken={make_token()}\r\n\r\n".encode())
    wait_until(lambda: any("There is no disk space for the rest of a response" in line for line in server.log))
    # The timeout of a client that reads nothing.
    connection.settimeout(20)
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            answer += part
    assert not answer.endswith(b"]\n")
    assert server.request("GET", "/payments/methods")[0] == 200


def test_a_client_that_reads_gets_its_whole_answer(many_payments, start_with_short_timeouts, connect):
    connection = connect(start_with_short_timeouts())
    connection.sendall(f"GET /payments HTTP/1.0\r\nCookie: accessToken={make_token()}\r\n\r\n".encode())
    length = 0
    while part := connection.recv(500_000):
        length += len(part)
    assert length > 8_000_000


def count_buffered_bytes(server):
    """Return how many bytes the server has in temporary files."""
    total = 0
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(link).endswith("(deleted)"):
                total += link.stat().st_size
    return total


def test_slow_readers_together_do_not_fill_the_disk(very_many_payments, start_server, connect):
    server = start_server(program=[LIMITED_SERVER, PROJECT, f"MAX_BUFFERED_BYTES={BUDGET}"])
    request = f"GET /payments HTTP/1.1\r\nHost: box\r\nCookie: accessToken={make_token()}\r\n\r\n".encode()
    for _ in range(12):
        connect(server, request)
    wait_until(lambda: count_buffered_bytes(server) > BUDGET)
    # Each of the four threads that may send long lists stops at waitress's 16 MiB beyond the budget.
    for _ in range(20):
        assert server.request("POST", "/payments", payment(transaction_id=""))[0] == 201
        assert count_buffered_bytes(server) < BUDGET + 5 * 16 * 2**20


def test_an_almost_full_disk_is_left_to_the_database(many_payments, start_server, connect):
    server = start_server(program=[LIMITED_SERVER, PROJECT, f"MIN_FREE_BYTES={2**60}"])
    connect(server, f"GET /payments HTTP/1.0\r\nCookie: accessToken={make_token()}\r\n\r\n".encode())
    wait_until(lambda: any("There is no disk space for the rest of a response" in line for line in server.log))
    assert server.request("POST", "/payments", payment(transaction_id=""))[0] == 201
    assert server.request("GET", "/payments?limit=1000")[0] == 200


def make_request(path="/payments", version="1.1"):
    """Return the bytes of a request, with a token that is valid also when the clock is set ahead or back."""
    cookie = f"accessToken={make_token(exp=int(time.time()) + 5 * 365 * 86400)}"
    return f"GET {path} HTTP/{version}\r\nHost: box\r\nCookie: {cookie}\r\n\r\n".encode()


@needs_faketime
def test_a_clock_set_ahead_closes_no_connection(many_payments, start_with_short_timeouts, connect, clock):
    server = start_with_short_timeouts("READ", command=clock.command)
    idle, reading = connect(server, make_request("/payments/methods")), connect(server, make_request(version="1.0"))
    assert idle.recv(65536).startswith(b"HTTP/1.1 200")
    length = len(reading.recv(1000))
    clock.set(timedelta(days=365))
    # This one is closed after a second by monotonic time, so the others have been looked at.
    assert connect(server).recv(1) == b""
    while part := reading.recv(500_000):
        length += len(part)
    assert length > 8_000_000
    idle.sendall(make_request("/payments/methods"))
    assert idle.recv(65536).startswith(b"HTTP/1.1 200")


@needs_faketime
def test_a_clock_set_back_keeps_no_idle_connection_open(start_with_short_timeouts, connect, clock):
    server = start_with_short_timeouts("IDLE", command=clock.command)
    idle = connect(server, make_request("/payments/methods"))
    assert idle.recv(65536).startswith(b"HTTP/1.1 200")
    clock.set(-timedelta(days=8))
    assert idle.recv(1) == b""


@needs_faketime
def test_a_clock_set_back_keeps_no_client_that_never_reads(many_payments, start_with_short_timeouts, connect, clock):
    server = start_with_short_timeouts("WRITE", command=clock.command, THREADS="1")
    before = count_sockets(server)
    never_reading = connect(server, make_request())
    received = [0]

    def is_full():
        received.append(struct.unpack("i", fcntl.ioctl(never_reading, termios.FIONREAD, bytes(4)))[0])
        return received[-1] and set(received[-20:]) == {received[-1]}

    # By then the only thread has written the whole response, and nothing more of it can be sent.
    assert server.request("GET", "/payments/methods")[0] == 200
    wait_until(is_full)
    clock.set(-timedelta(days=8))
    wait_until(lambda: count_sockets(server) == before)


def count_sockets(server):
    """Return how many sockets a server has open."""
    count = 0
    for file in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(file).startswith("socket:")
    return count
