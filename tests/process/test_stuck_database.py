"""While the database is stuck, clients learn it soon and the service is alive"""
import contextlib
import select
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..support.payments import payment

TILLS = 40


@pytest.fixture
def server(start_server):
    """Start a server with one worker thread."""
    return start_server(THREADS="1")


def test_the_service_is_alive_while_all_threads_wait(server, rows):
    rows.lock()
    with contextlib.ExitStack() as connections:
        waiting = connections.enter_context(contextlib.closing(server.send("POST", "/payments", payment())))
        # The second request waits for the only thread.
        queued = connections.enter_context(contextlib.closing(server.send("GET", "/payments/methods")))
        assert server.request("GET", "/health/live") == (200, {"status": "live"})
        assert not select.select([waiting.sock, queued.sock], [], [], 0)[0]
        rows.unlock()
        assert [connection.getresponse().status for connection in (waiting, queued)] == [201, 200]


def test_many_waiting_tills_get_their_503_before_they_give_up(server, rows):
    rows.lock()
    # A till gives up after 30 s. If each waited for its own lock timeout, the last would wait for 200 s.
    with ThreadPoolExecutor(TILLS) as tills:
        answers = [tills.submit(server.request, "POST", "/payments", payment(transaction_id="")) for _ in range(TILLS)]
        assert {answer.result()[0] for answer in answers} == {503}
    rows.unlock()
    assert server.request("POST", "/payments", payment())[0] == 201


def test_waiting_tills_are_served_once_the_lock_is_released(server, rows):
    rows.lock()
    with ThreadPoolExecutor(TILLS) as tills:
        answers = [tills.submit(server.request, "POST", "/payments", payment(transaction_id="")) for _ in range(TILLS)]
        assert server.request("GET", "/health/live")[0] == 200
        rows.unlock()
        assert {answer.result()[0] for answer in answers} == {201}
