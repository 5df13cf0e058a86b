"""Requests that only a raw socket can send: odd headers, cookies and bodies"""
import contextlib
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from ..support.engines import on_one_engine
from ..support.payments import ENCODER, payment
from ..support.tokens import make_token

pytestmark = on_one_engine


@pytest.mark.parametrize("order", [["access", "refresh"], ["refresh", "access"], ["theme", "access", "refresh"]])
def test_cookies_in_separate_headers_are_all_read(shared_server, order):
    cookies = {
        "access": f"accessToken={make_token()}",
        "refresh": f"refreshToken={make_token(type='refresh')}",
        "theme": "theme=dark; locale=es-MX",
    }
    headers = "".join(f"Cookie: {cookies[name]}\r\n" for name in order)
    status, _, _ = shared_server.exchange(f"GET /payments/methods HTTP/1.1\r\nHost: box\r\n{headers}\r\n".encode())
    assert status == 200


@pytest.mark.parametrize("other", ["seen=1,2, 3", "", "flag", "a[b]=1", "refreshToken="])
def test_odd_cookies_around_the_token_do_not_hide_it(shared_server, other):
    headers = [f"Cookie: {other}", f"Cookie: accessToken={make_token()}", f"Cookie: {other}"]
    request = "\r\n".join(["GET /payments HTTP/1.1", "Host: box", *headers, "\r\n"])
    status, _, _ = shared_server.exchange(request.encode())
    assert status == 204


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET /payments HTTP/1.1\r\nHost: box\r\nCookie: a=" + b"x" * 20000 + b"\r\n\r\n", 431),
        (b"GET /payments HTTP/1.1\r\nHost: box\r\nno header\r\n\r\n", 400),
        (b"GET /payments HTTP/1.1\r\nHost: box\r\nA:" + b" \t" * 50 + b"a\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: box\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: ,\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /payments HTTP/1.0\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 70000\r\nTransfer-Encoding: ,\r\n\r\n", 400),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nExpect: 100-continue\r\nContent-Length: x\r\n\r\n", 400),
    ],
    ids=lambda value: value[:60] if isinstance(value, bytes) else value,
)
def test_errors_of_waitress_have_the_shape_of_other_errors(shared_server, request_, code):
    status, headers, body = shared_server.exchange(request_)
    assert status == code
    assert headers["content-type"] == "application/json"
    assert "server" not in headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert headers["x-request-id"]
    refusal = json.loads(body)
    assert set(refusal) == {"code", "status", "message"}
    assert refusal["code"] == code
    assert shared_server.request("GET", "/openapi.json")[0] == 200
    assert "level=error" not in "".join(shared_server.log)


@pytest.mark.parametrize(("size", "code"), [(65536, 422), (65537, 413), (16 * 1024 * 1024, 413)])
def test_a_body_over_64_kib_is_rejected_on_an_open_connection(shared_server, size, code):
    body = b'{"padding": "' + b"x" * (size - 15) + b'"}'
    with contextlib.closing(shared_server.send("GET", "/openapi.json")) as connection:
        connection.getresponse().read()
        headers = {"Cookie": f"accessToken={make_token()}", "Content-Type": "application/json"}
        for _ in range(2):
            connection.request("POST", "/payments", body, headers)
            response = connection.getresponse()
            assert (response.status, json.loads(response.read())["code"]) == (code, code)


@pytest.mark.parametrize("announced", ["65537\r\nExpect: 100-continue", "16777217", "9" * 20])
def test_the_token_is_checked_before_the_size_of_the_body(shared_server, announced):
    head = f"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: {announced}\r\nContent-Type: application/json\r\n"
    assert shared_server.exchange(f"{head}\r\n".encode())[0] == 401
    status, headers, _ = shared_server.exchange(f"{head}Cookie: accessToken={make_token()}\r\n\r\n".encode())
    assert (status, headers["connection"]) == (413, "close")


def test_the_token_is_checked_before_a_chunked_body(shared_server):
    head = "POST /payments HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: Chunked\r\nContent-Type: application/json\r\n"
    body = b"11000\r\n" + b"x" * 0x11000 + b"\r\n0\r\n\r\n"
    assert shared_server.exchange(f"{head}\r\n".encode() + body)[0] == 401
    signed_in = f"{head}Cookie: accessToken={make_token()}\r\n\r\n".encode()
    status, headers, _ = shared_server.exchange(signed_in + body)
    assert (status, "connection" in headers) == (413, False)
    status, _, answer = shared_server.exchange(signed_in + b"2\r\n{}\r\n0\r\n\r\n")
    assert (status, json.loads(answer)["code"]) == (422, 422)


@pytest.mark.parametrize("framing", ["Content-Length: 8000000", "Transfer-Encoding: chunked"])
def test_a_client_that_sends_before_it_reads_gets_its_413(shared_server, framing):
    head = f"POST /payments HTTP/1.1\r\nHost: box\r\n{framing}\r\nContent-Type: application/json\r\n"
    content = b"x" * 8_000_000
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if "chunked" in framing else content
    request = f"{head}Cookie: accessToken={make_token()}\r\n\r\n".encode() + body
    assert [shared_server.exchange(request)[0] for _ in range(3)] == [413] * 3


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /payments", 401),
        ("GET /payments", 204),
        ("DELETE /payments/x", 404),
        ("POST /payments", 400),
    ],
)
def test_expect_without_a_body_does_not_swallow_a_request(
    shared_server, request_, status
):
    cookie = "" if status == 401 else f"Cookie: accessToken={make_token()}\r\n"
    head = f"{request_} HTTP/1.1\r\nHost: box\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n{cookie}"
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=30) as connection:
        connection.sendall(f"{head}\r\nGET /payments HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n".encode())
        answers = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    # A 204 closes its connection.
    statuses = [int(found) for found in re.findall(r"^HTTP/1.1 (\d+)", answers, re.MULTILINE)]
    assert statuses == ([204] if status == 204 else [status, 401])


def test_an_announced_body_is_continued(server):
    body = ENCODER.encode(payment())
    head = f"POST /payments HTTP/1.1\r\nHost: box\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: application/json\r\nCookie: accessToken={make_token()}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_gets_the_413_of_a_body_that_it_announces(shared_server, tmp_path: Path):
    (tmp_path / "body").write_bytes(b" " * 2_000_000)
    command = ["curl", "-s", "-X", "POST", f"http://127.0.0.1:{shared_server.port}/payments"]
    command += ["-H", "Expect: 100-continue"]
    command += ["-H", f"Cookie: accessToken={make_token()}", "-H", "Content-Type: application/json"]
    command += ["--data-binary", f"@{tmp_path}/body", "-m", "20"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["code"] == 413
