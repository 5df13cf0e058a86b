"""The service behind nginx, with the shipped configuration"""
import contextlib
import http.client
import http.server
import json
import re
import shutil
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from payments_service.web.error_handlers import MESSAGES

from ..support.api_page import run_curl_commands
from ..support.browser import BROWSER, Page
from ..support.engines import on_postgresql, on_sqlite
from ..support.nginx import NGINX, SITE, Nginx, example, free_port
from ..support.payments import CASH, ENCODER, EUR, payment
from ..support.recorder import Recorder
from ..support.serving import serving
from ..support.tokens import make_token
from ..support.waiting import wait_until

pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed")


@pytest.fixture
def start_nginx():
    """Start nginx in front of services on the given ports, with the shipped configuration or a changed one."""
    with contextlib.ExitStack() as started:

        def start(*ports, site=SITE):
            nginx = Nginx(site, *ports)
            started.callback(shutil.rmtree, nginx.folder)
            started.callback(nginx.stop)
            return nginx

        yield start


@pytest.fixture
def nginx(start_nginx):
    """Start nginx in front of a port that nobody listens on."""
    return start_nginx(free_port())


@pytest.fixture
def record():
    """Start recorders."""
    with contextlib.ExitStack() as started:
        yield lambda: started.enter_context(serving(Recorder()))


@pytest.fixture
def recorded(record, start_nginx):
    """Start a recorder behind nginx. Return both."""
    # After the recorder, so that nginx ends first and its connections with it.
    recorder = record()
    return recorder, start_nginx(recorder.server_port)


def get(path: str, *headers: str) -> bytes:
    """Return the bytes of a request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: box:81", *headers, "\r\n"]).encode()


def half_a_post(connections: contextlib.ExitStack, nginx: Nginx, body: bytes) -> tuple[socket.socket, bytes]:
    """Send a POST without the last bytes of its body. Return its connection and these bytes."""
    connection = connections.enter_context(socket.create_connection(("127.0.0.1", nginx.port), timeout=30))
    head = f"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nCookie: accessToken={make_token()}\r\n\r\n"
    connection.sendall(head.encode() + body[:-9])
    return connection, body[-9:]


@on_sqlite
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_curl_commands_of_the_page_work_through_nginx(server, start_nginx):
    run_curl_commands(start_nginx(server.port))


@on_sqlite
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_etag_read_through_nginx_allows_a_change(server, start_nginx, method):
    nginx = start_nginx(server.port)
    path = f"/payments/{nginx.request('POST', '/payments', payment())[1]['id']}"
    _, headers, _ = nginx.exchange(get(path, f"Cookie: accessToken={make_token()}", "Accept-Encoding: gzip"))
    assert headers["etag"] == '"1"'
    assert nginx.request(method, path, payment(amount=1), **{"If-Match": headers["etag"]})[0] in (200, 204)


@on_sqlite
def test_nginx_limits_how_often_anybody_wakes_the_service(server, start_nginx):
    nginx = start_nginx(server.port)
    statuses = [nginx.request("POST", "/payments/lightning/wake")[0] for _ in range(20)]
    # No node is configured here.
    assert set(statuses) == {503, 429}
    assert nginx.request("GET", "/payments")[0] == 204


@on_sqlite
@pytest.mark.parametrize("path", ["/payments", "/payments/{id}", "/payments/methods", "/openapi.json", "/docs"])
def test_nginx_compresses_no_response(server, start_nginx, path):
    nginx = start_nginx(server.port)
    path = path.format(id=nginx.request("POST", "/payments", payment())[1]["id"])
    status, headers, _ = nginx.exchange(get(path, f"Cookie: accessToken={make_token()}", "Accept-Encoding: gzip"))
    assert status == 200
    assert "content-encoding" not in headers
    assert not headers.get("etag", "").startswith("W/")


@on_sqlite
def test_nginx_adds_no_content_type_to_an_empty_response(server, start_nginx):
    status, headers, _ = start_nginx(server.port).exchange(get("/payments", f"Cookie: accessToken={make_token()}"))
    assert status == 204
    assert "content-type" not in headers


@on_sqlite
@pytest.mark.parametrize("trusted", ["127.0.0.1", ""])
def test_a_script_follows_locations_and_pages_through_nginx(start_server, start_nginx, trusted):
    address = f"http://127.0.0.1:{start_nginx(start_server(TRUSTED_PROXY=trusted).port).port}/payments"
    with requests.Session() as session:
        session.headers["Cookie"] = f"accessToken={make_token()}"
        for amount in range(3):
            created = session.post(address, json={"method_id": CASH, "currency_id": EUR, "amount": amount}, timeout=30)
            assert session.get(created.headers["Location"], timeout=30).json()["id"] == created.json()["id"]
        # As the documentation of requests shows it.
        amounts, page = [], f"{address}?limit=2"
        while page:
            response = session.get(page, timeout=30)
            amounts += [listed["amount"] for listed in response.json()]
            page = response.links.get("next", {}).get("url")
    assert amounts == [0, 1, 2]


@on_sqlite
@pytest.mark.skipif(not BROWSER, reason="Chromium is not installed")
def test_a_browser_follows_locations_and_pages_through_nginx(server, start_nginx, tmp_path):
    nginx = start_nginx(server.port)
    with contextlib.closing(Page(tmp_path)) as page:
        page.show(f"http://127.0.0.1:{nginx.port}/docs")
        page.run(
            """(async () => {
                const headers = {"Content-Type": "application/json"};
                const got = {created: [], listed: []};
                for (const amount of [0, 1, 2]) {
                    const body = JSON.stringify({method_id: "%s", currency_id: "%s", amount});
                    const created = await fetch("/payments", {method: "POST", headers, body});
                    const located = await fetch(created.headers.get("Location"));
                    got.created.push((await located.json()).amount);
                }
                for (let address = "/payments?limit=2"; address;) {
                    const response = await fetch(address);
                    got.listed.push(...(await response.json()).map(payment => payment.amount));
                    address = /<(.*)>; rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
                }
                window.got = got;
            })()"""
            % (CASH, EUR)
        )
        assert page.wait_for("window.got") == {"created": [0, 1, 2], "listed": [0, 1, 2]}


@on_sqlite
def test_a_long_answer_comes_whole(server, insert_payments, start_nginx):
    insert_payments(*({"id": f"{number:032x}", "transaction_id": f"txn-{number}"} for number in range(10_000)))
    assert len(start_nginx(server.port).request("GET", "/payments")[1]) == 10_000


@pytest.mark.parametrize(
    "path",
    ["/payments", "/payments/", "/payments?transaction_id=a%26b", "/docs", "/docs/x.js", "/openapi.json"]
    + ["/payments/ticket-payments/by-ticket/a%2Fb%20c", "/payments//x", "/payments/ticket-payments/by-ticket/a/../b"],
)
def test_a_path_of_the_service_is_passed_on_unchanged(recorded, path):
    recorder, nginx = recorded
    assert nginx.exchange(get(path))[0] == 200
    assert [asked for _, asked, _, _ in recorder.asked] == [path]


@pytest.mark.parametrize(
    "path",
    ["/", "/health", "/health/live", "/metrics", "/paymentsx", "/docs.html", "/openapi.json/x", "/error"]
    + ["/payments/../metrics", "/payments/%2e%2e/health", "//metrics", "/metrics?/payments", "/metrics%3F/payments"],
)
def test_nothing_else_is_passed_on(recorded, path):
    recorder, nginx = recorded
    assert nginx.exchange(get(path))[0] == 404
    assert not recorder.asked


def test_the_service_gets_one_cookie_header_host_and_client(recorded):
    recorder, nginx = recorded
    sent = ["Cookie: accessToken=a", "Cookie: refreshToken=b", "X-Forwarded-For: 10.9.9.9", "Idempotency-Key: k"]
    assert nginx.exchange(get("/payments", *sent))[0] == 200
    ((_, _, headers, _),) = recorder.asked
    assert headers.get_all("Cookie") == ["accessToken=a; refreshToken=b"]
    assert headers.get_all("Host") == ["box:81"]
    assert headers.get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert headers.get_all("X-Forwarded-Proto") == ["http"]
    assert headers.get_all("Idempotency-Key") == ["k"]


def test_connections_to_the_service_are_kept_alive(recorded):
    recorder, nginx = recorded
    for _ in range(3):
        assert nginx.exchange(get("/payments", "Connection: close"))[0] == 200
    assert len({address for address, _, _, _ in recorder.asked}) == 1


@on_sqlite
def test_the_request_id_is_logged_and_the_token_is_not(server, start_nginx):
    nginx = start_nginx(server.port)
    token = make_token()
    _, headers, _ = nginx.exchange(get("/payments", f"Cookie: accessToken={token}", "X-Request-Id: of-a-client"))
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    wait_until(lambda: headers["x-request-id"] in nginx.access_log())
    assert nginx.exchange(get("/payments", f"Cookie: accessToken={token}" + "x" * 20_000))[0] == 431
    nginx.stop()
    assert token[:20] not in nginx.access_log() + "".join(nginx.log)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /payments HTTP/1.1\r\n\r\n", 400),
        (b"GET /payments%zz HTTP/1.1\r\nHost: box\r\n\r\n", 400),
        (get("/favicon.ico"), 404),
        (b"TRACE /payments HTTP/1.1\r\nHost: box\r\n\r\n", 405),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nContent-Length: 65537\r\n\r\n", 413),
        (get("/payments?" + "x" * 20_000), 414),
        (get("/payments", "Cookie: a=" + "x" * 20_000), 431),
        (b"POST /payments HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (get("/payments"), 502),
        (b"GET /payments HTTP/3.0\r\nHost: box\r\n\r\n", 505),
    ],
    ids=lambda value: value[:60] if isinstance(value, bytes) else value,
)
def test_errors_of_nginx_have_the_shape_of_other_errors(nginx, request_, code):
    status, headers, body = nginx.exchange(request_)
    assert status == code
    assert headers["content-type"] == "application/json"
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert headers["x-request-id"]
    assert headers.get("retry-after") == ("2" if code == 502 else None)
    refusal = json.loads(body)
    assert set(refusal) == {"code", "status", "message"}
    assert refusal["code"] == code


def test_errors_of_nginx_have_the_messages_of_the_service():
    messages = re.findall(r'^ +(\d+) +\'"[^"]+","message":"([^"]+)"\';', SITE, re.MULTILINE)
    assert len(messages) == 12
    for code in ("400", "404", "413", "431", "501"):
        assert dict(messages)[code] == MESSAGES[int(code)]


@on_sqlite
@pytest.mark.parametrize(("size", "code"), [(65536, 422), (65537, 413)])
def test_a_body_as_large_as_the_service_takes_is_passed_on(server, start_nginx, size, code):
    body = {"padding": "x" * (size - 14)}
    assert len(ENCODER.encode(body)) == size
    assert start_nginx(server.port).request("POST", "/payments", body)[0] == code


def test_headers_as_large_as_the_service_takes_are_passed_on(recorded):
    _, nginx = recorded
    assert nginx.exchange(get("/payments", "Cookie: a=" + "x" * 16_000))[0] == 200


def test_a_body_reaches_the_service_once_it_is_whole(recorded):
    recorder, nginx = recorded
    body = ENCODER.encode(payment())
    with contextlib.ExitStack() as connections:
        slow, rest = half_a_post(connections, nginx, body)
        assert nginx.exchange(get("/payments"))[0] == 200
        assert recorder.begun == 1
        slow.sendall(rest)
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")
    assert [asked for _, _, _, asked in recorder.asked] == [b"", body]


@on_sqlite
def test_slow_clients_do_not_block_others_behind_nginx(start_server, start_nginx):
    nginx = start_nginx(start_server(THREADS="1").port)
    bodies = [ENCODER.encode(payment(transaction_id=f"txn-{number}")) for number in range(50)]
    with contextlib.ExitStack() as connections:
        slow = [half_a_post(connections, nginx, body) for body in bodies]
        assert nginx.request("GET", "/payments")[0] == 204
        for connection, rest in slow:
            connection.sendall(rest)
            assert connection.recv(65536).startswith(b"HTTP/1.1 201")
    assert len(nginx.request("GET", "/payments")[1]) == 50


def test_a_client_that_sends_requests_too_fast_gets_429(nginx):
    asked = get("/payments") * 499 + get("/payments", "Connection: close")
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=30) as connection:
        connection.sendall(asked)
        answers = b"".join(iter(lambda: connection.recv(65536), b"")).decode().split("HTTP/1.1 ")[1:]
    assert len(answers) == 500
    # The requests of fifty tills are passed on.
    assert {answer[:3] for answer in answers[:300]} == {"502"}
    refused = [answer for answer in answers if answer.startswith("429")]
    assert refused
    assert "Retry-After: 1\r\n" in refused[0]
    assert json.loads(refused[0].partition("\r\n\r\n")[2])["code"] == 429


def test_a_client_with_too_many_open_requests_gets_429(recorded):
    _, nginx = recorded
    with contextlib.ExitStack() as connections:
        for _ in range(100):
            half_a_post(connections, nginx, ENCODER.encode(payment()))
        wait_until(lambda: nginx.exchange(get("/payments"))[0] == 429)
    wait_until(lambda: nginx.exchange(get("/payments"))[0] == 200)


@on_sqlite
def test_a_restarted_service_is_used_again_at_once(server, start_server, start_nginx):
    nginx = start_nginx(server.port)
    assert nginx.request("POST", "/payments", payment())[0] == 201
    assert server.stop() == 0
    status, refusal = nginx.request("GET", "/payments")
    assert (status, refusal["code"]) == (502, 502)
    start_server(PORT=str(server.port))
    assert len(nginx.request("GET", "/payments")[1]) == 1


SECOND_COPY = "server 127.0.0.1:9155 fail_timeout=2s;"


def test_copies_are_used_in_turn(record, start_nginx):
    copies = [record(), record()]
    nginx = start_nginx(*(copy.server_port for copy in copies), site=example(SECOND_COPY))
    for _ in range(10):
        assert nginx.exchange(get("/payments"))[0] == 200
    assert [len(copy.asked) for copy in copies] == [5, 5]


@on_sqlite
def test_a_killed_copy_is_skipped(start_server, start_nginx):
    copies = [start_server(), start_server()]
    nginx = start_nginx(*(copy.port for copy in copies), site=example(SECOND_COPY))
    # Open connections to both.
    assert [nginx.request("GET", "/payments/methods")[0] for _ in range(4)] == [200] * 4
    copies[0].process.kill()
    copies[0].wait()
    codes = [nginx.request("POST", "/payments", payment(transaction_id=f"txn-{number}"))[0] for number in range(10)]
    assert codes == [201] * 10
    assert len(nginx.request("GET", "/payments")[1]) == 10


@on_postgresql
def test_a_post_lost_by_a_killed_copy_is_not_retried(start_server, start_nginx, rows):
    copies = [start_server(), start_server()]
    nginx = start_nginx(*(copy.port for copy in copies), site=example(SECOND_COPY))
    rows.lock()
    with contextlib.closing(nginx.send("POST", "/payments", payment())) as waiting:
        wait_until(lambda: rows.all("SELECT 1 FROM pg_locks WHERE NOT granted"))
        copies[0].process.kill()
        # The other copy would wait for the lock.
        assert waiting.getresponse().status == 502
    rows.unlock()
    assert nginx.request("GET", "/payments")[0] == 204
    # A till retries it.
    assert nginx.request("POST", "/payments", payment())[0] == 201


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost and its key. Return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "payments.key").write_bytes(encoded)
    (folder / "payments.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder / "payments.pem", folder / "payments.key"


@on_sqlite
def test_with_all_examples_enabled_http_redirects_to_tls(start_server, start_nginx, tmp_path):
    certificate, key = make_certificate(tmp_path)
    port = free_port()
    site = SITE.replace("    listen 80;\n    listen [::]:80;\n", "")
    site = re.sub("^( *)#(?=[^ \n])", r"\1", site, flags=re.MULTILINE)
    site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;").replace("listen [::]:443 ssl;", "")
    site = site.replace("/etc/ssl/certs/payments.pem", str(certificate))
    site = site.replace("/etc/ssl/private/payments.key", str(key))
    nginx = start_nginx(start_server().port, start_server().port, site=site)
    status, headers, _ = nginx.exchange(b"POST /payments?a=b HTTP/1.1\r\nHost: payments.example\r\n\r\n")
    assert (status, headers["location"]) == (308, "https://payments.example/payments?a=b")
    trusting = ssl.create_default_context(cafile=certificate)
    connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=trusting)
    with contextlib.closing(connection):
        headers = {"Cookie": f"accessToken={make_token()}", "Content-Type": "application/json"}
        connection.request("POST", "/payments", ENCODER.encode(payment()), headers)
        response = connection.getresponse()
        assert response.status == 201
        assert response.headers["Location"].startswith(f"https://localhost:{port}/payments/")
