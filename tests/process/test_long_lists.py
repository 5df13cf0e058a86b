"""Long lists over a real socket"""
import contextlib
import http.client
import json

import pytest

from ..support.engines import on_sqlite
from ..support.payments import EUR, UNKNOWN
from ..support.rows import stored
from ..support.waiting import wait_until


@pytest.fixture
def many_payments(insert_payments):
    """Insert payments for a list of more than one part."""
    insert_payments(*({"id": f"{number:032x}", "transaction_id": f"txn-{number}"} for number in range(4500)))


@pytest.fixture
def unreadable_payment(many_payments, rows):
    """Make the last payment one in a currency that does not exist."""
    rows.execute("PRAGMA foreign_keys = off")
    rows.execute("UPDATE payment SET currency_id = ? WHERE id = ?", stored(UNKNOWN), f"{4499:032x}")


@on_sqlite
def test_a_response_cut_off_is_incomplete(unreadable_payment, server):
    with contextlib.closing(server.send("GET", "/payments")) as connection:
        response = connection.getresponse()
        assert response.status == 200
        with pytest.raises(http.client.IncompleteRead):
            response.read()


@on_sqlite
def test_a_response_cut_off_in_http_1_0_is_not_valid_json(unreadable_payment, server, monkeypatch):
    monkeypatch.setattr(http.client.HTTPConnection, "_http_vsn_str", "HTTP/1.0")
    with contextlib.closing(server.send("GET", "/payments")) as connection:
        text = connection.getresponse().read()
    assert text.startswith(b"[{")
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


@on_sqlite
def test_a_response_cut_off_is_logged_with_id_and_trace(unreadable_payment, server):
    with contextlib.closing(server.send("GET", "/payments", **{"X-Request-Id": "reports-7"})) as connection:
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
    wait_until(lambda: "The response to request reports-7 was cut off" in "".join(server.log))
    assert "Traceback" in "".join(server.log)
    assert server.request("GET", f"/payments?currency_id={EUR}&limit=1")[0] == 200


@on_sqlite
def test_a_long_list_is_one_line_in_the_log(many_payments, server):
    assert len(server.request("GET", "/payments")[1]) == 4500
    assert server.request("GET", "/payments/methods")[0] == 200
    wait_until(lambda: "route=/payments/methods" in "".join(server.log))
    assert len([line for line in server.log if "route=/payments " in line and "status=200" in line]) == 1


@on_sqlite
def test_long_lists_on_one_thread_follow_one_another(many_payments, start_server):
    server = start_server(THREADS="2")
    for method in ("GET", "HEAD") * 3:
        with contextlib.closing(server.send(method, "/payments")) as connection:
            response = connection.getresponse()
            assert response.status == 200
            response.read()


@on_sqlite
def test_a_head_request_for_a_long_list_has_no_body(many_payments, server):
    answer = b""
    with contextlib.closing(server.send("HEAD", "/payments")) as connection:
        while part := connection.sock.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"\r\n\r\n") == 1
