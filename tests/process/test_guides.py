"""What the README and the guides promise"""
import datetime
import decimal
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import venv
from decimal import Decimal

import jwt
import pytest
import requests

from payments_service import __version__, create_app
from payments_service.settings import SETTINGS

from ..support.ambrosia import Ambrosia
from ..support.clients import client_of
from ..support.engines import on_one_engine, on_sqlite
from ..support.fake_phoenixd import FakePhoenixd
from ..support.guides import (
    API_GUIDE, CONTRIBUTING, DEPLOY, DOCS, EMBEDDING, INSTALLING, LIGHTNING, MOVING_IN, OPERATING, PAGES, README,
    blocks, rows, section,
)
from ..support.payments import EUR, payment
from ..support.project import PROJECT, environment
from ..support.shell import move, run_without_root
from ..support.tokens import SECRET, make_token
from ..unit.test_house import ORDER

installed = pytest.mark.skipif(not (PROJECT / ".venv" / "run").exists(), reason="the project was not installed by make")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def run_in_shell(commands, server, **variables):
    """Run commands as they are written, but on the server's port; return what they print."""
    # As in a terminal: a make started by another make prints more.
    settings = {name: value for name, value in environment(JWT_SECRET=SECRET).items() if not name.startswith("MAKE")}
    shell = ["sh", "-euc", commands.replace("9154", str(server.port))]
    result = subprocess.run(shell, cwd=PROJECT, env=settings | variables, capture_output=True, text=True, check=True)
    return result.stdout


def comparable(text):
    """Return a JSON text, with the ids that differ on each installation left out."""
    value = json.dumps(json.loads(text, parse_float=str), indent=1)
    return re.sub(r"\b(?!01950000)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "an id", value)


# All pages


def test_the_readme_has_at_most_120_lines():
    assert len(README.read_text().splitlines()) <= 120


@each_page
def test_every_link_between_pages_leads_somewhere(page):
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@each_page
def test_every_json_block_is_json(page):
    for block in blocks(page.read_text(), "json"):
        json.loads(block)


def test_the_current_version_is_named():
    assert f"This is version {__version__}." in README.read_text()
    assert f"\n## {__version__} – " in (DOCS / "changelog.md").read_text()


def test_every_guide_is_linked_in_the_readme():
    linked = re.findall(r"\]\(([^)]+\.md)\)", section(README, "What next"))
    assert {PROJECT / path for path in linked} == set(PAGES) - {README}


# README


def test_every_make_target_is_documented():
    targets = re.findall(r"^([a-z]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    assert set(targets) <= {row[0].strip("`").removeprefix("make ") for row in rows(section(README, "Make targets"))}
    shown = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True).stdout
    assert shown.count("make ") == len(targets)


@installed
@on_sqlite
def test_the_first_payment_gets_the_responses_shown(server):
    text = section(README, "First payment")
    printed = run_in_shell("\n".join(blocks(text, "sh")), server).splitlines()
    assert [comparable(line) for line in printed] == [comparable(block) for block in blocks(text, "json")]
    assert len(printed) == 3


# API guide


def operations():
    """Yield each operation that needs a permission: its method, path, permission and response statuses."""
    document = create_app({"JWT_SECRET": SECRET}).test_client().get("/openapi.json").json
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters" and operation["security"]:
                # Each way to sign in needs the same permission.
                ((permission,),) = {tuple(*requirement.values()) for requirement in operation["security"]}
                yield method.upper(), path, permission, set(operation["responses"])


def test_every_operation_is_in_the_table_with_its_permission():
    documented = []
    for request, permission, *_ in rows(section(API_GUIDE, "Operations"))[1:]:
        method, path = request.strip("`").split(" ")
        documented.append((method, re.sub(r"\{\w+\}", "{}", path.partition("?")[0]), permission.strip("`")))
    found = [(method, re.sub(r"\{\w+\}", "{}", path), permission) for method, path, permission, _ in operations()]
    assert sorted(documented) == sorted(found)


def test_every_status_has_advice_for_a_till():
    advice = rows(section(API_GUIDE, "What a till does with each status"))
    advised = {status for row in advice for status in re.findall(r"\d{3}", row[0])}
    documented = set().union(*(statuses for *_, statuses in operations()))
    passed_on = set(re.findall(r"^ {4}(\d{3}) +'", (DEPLOY / "nginx.conf").read_text(), re.MULTILINE))
    assert len(passed_on) > 9
    assert documented | passed_on <= advised


def test_every_filter_of_payments_is_documented():
    document = create_app({"JWT_SECRET": SECRET}).test_client().get("/openapi.json").json
    parameters = {parameter["name"] for parameter in document["paths"]["/payments"]["get"]["parameters"]}
    assert {row[0].strip("`") for row in rows(section(API_GUIDE, "Lists, filters and pages"))[1:]} == parameters


@on_sqlite
def test_the_limits_of_texts_are_documented(client):
    limits = {row[0]: row[1] for row in rows(section(API_GUIDE, "Limits of fields"))}
    document = client.get("/openapi.json").json["components"]["schemas"]
    transaction_id = document["PaymentInput"]["properties"]["transaction_id"]["maxLength"]
    ticket_id = document["TicketPaymentInput"]["properties"]["ticket_id"]["maxLength"]
    assert f"up to {transaction_id:,} characters" in limits["`transaction_id`"]
    assert f"1 to {ticket_id} characters" in limits["`ticket_id`, `ticketId`"]


@on_sqlite
def test_a_till_can_copy_the_retry_in_curl(server):
    (retry, *_) = blocks(section(API_GUIDE, "Retries"), "sh")
    responses = run_in_shell(retry, server, ACCESS_TOKEN=make_token()).replace("\r", "").split("HTTP/1.1 ")
    assert len(responses) == 2
    (shown,) = blocks(section(API_GUIDE, "Retries"), "http")
    head, _, body = responses[1].partition("\n\n")
    shown_head, _, shown_body = shown.removeprefix("HTTP/1.1 ").partition("\n\n")
    assert comparable(body) == comparable(shown_body)
    # Names and values, but for those that differ each time.
    changing = re.compile(r"^(Date|Location|X-Request-Id): .*$", re.MULTILINE)
    assert changing.sub(r"\1", head) == changing.sub(r"\1", shown_head)
    assert "Idempotency-Replayed: true" in head
    assert len(server.request("GET", "/payments")[1]) == 1


@on_sqlite
@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_a_till_can_copy_the_retry_in_javascript(server):
    retry, pages, amount = (
        block
        for title in ("Retries", "Lists, filters and pages", "Amounts")
        for block in blocks(section(API_GUIDE, title), "js")
    )
    # What a browser has and node has not: cookies. The first response gets lost.
    script = """
        const send = fetch;
        let lost = 0;
        globalThis.fetch = async (address, options) => {
          if (options.credentials !== "include") throw new Error("no cookie");
          const headers = {...options.headers, Cookie: `accessToken=${process.env.ACCESS_TOKEN}`};
          const response = await send(address, {...options, headers});
          if (options.method === "POST" && lost++ === 0) throw new TypeError("fetch failed");
          return response;
        };
        const totalInCents = 2010;
        """
    address = f"http://127.0.0.1:{server.port}"
    call = f"""
        const payment = {{
          method_id: "01950000-0000-7000-8000-000000000001", currency_id: "{EUR}", transaction_id: "", amount,
        }};
        const response = await recordPayment("{address}", JSON.stringify(payment), newIdempotencyKey());
        const listed = [];
        for await (const payment of allPayments("{address}")) listed.push(payment);
        console.log(JSON.stringify([response.status, response.headers.get("Idempotency-Replayed"), listed]));
        """
    script += retry + pages.replace("limit=1000", "limit=1") + amount + call
    # The list has more than one page.
    body = {"method_id": "01950000-0000-7000-8000-000000000001", "currency_id": EUR, "amount": Decimal("1.00")}
    server.request("POST", "/payments", body)
    command = ["node", "--input-type=module", "--eval", script]
    result = subprocess.run(
        command, env=os.environ | {"ACCESS_TOKEN": make_token()}, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    status, replayed, listed = json.loads(result.stdout, parse_float=Decimal)
    assert (status, replayed) == (201, "true")
    assert [payment["amount"] for payment in listed] == [1, Decimal("20.1")]


@on_sqlite
def test_a_script_can_copy_the_reading_of_pages_in_python(server):
    (code,) = blocks(section(API_GUIDE, "Lists, filters and pages"), "python")
    # The list has more than one page.
    names = {"decimal": decimal}
    exec(code.replace("limit=1000", "limit=2"), names)
    address = f"http://127.0.0.1:{server.port}"
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {make_token()}"
        assert not list(names["all_payments"](session, address))
        for amount in (1, 2, 3):
            body = {"method_id": "01950000-0000-7000-8000-000000000001", "currency_id": EUR, "amount": amount}
            server.request("POST", "/payments", body)
        assert [payment["amount"] for payment in names["all_payments"](session, address)] == [1, 2, 3]


@on_sqlite
def test_a_lost_update_is_rejected_as_it_is_written(server):
    body = {"method_id": "01950000-0000-7000-8000-000000000001", "currency_id": EUR, "amount": Decimal("78.90")}
    payment_id = server.request("POST", "/payments", body)[1]["id"]
    text = section(API_GUIDE, "Concurrent changes: ETags")
    (commands,) = blocks(text, "sh")
    variables = {"ACCESS_TOKEN": make_token(), "PAYMENT_ID": payment_id}
    assert '"Payment updated successfully"' in run_in_shell(commands, server, **variables).splitlines()
    again = run_in_shell(commands, server, **variables).splitlines()
    (shown,) = blocks(text, "json")
    assert comparable(again[-1]) == comparable(shown)


def test_the_guide_names_the_generator_that_is_tested():
    (commands,) = blocks(section(API_GUIDE, "Generated clients"), "sh")
    pinned = json.loads((PROJECT / "tests" / "clients" / "package.json").read_text())["devDependencies"]
    assert f"npx openapi-typescript@{pinned['openapi-typescript']} " in commands


# Installing


def test_every_setting_is_documented_with_its_default():
    documented = {row[0].strip("`"): row[1] for row in rows(section(INSTALLING, "Settings"))[1:]}
    assert documented.keys() == {f"PAYMENTS_{name}" for name in SETTINGS}
    for name, (_, default) in SETTINGS.items():
        written = documented[f"PAYMENTS_{name}"].strip("`").replace(":///", f":///{PROJECT}/")
        shown = default.isoformat("minutes") if isinstance(default, datetime.time) else str(default)
        assert written == (shown if default else "none")


@on_one_engine
def test_the_token_that_is_shown_is_accepted(app):
    (shown,) = blocks(section(INSTALLING, "Tokens of your sign-in service"), "json")
    claims = json.loads(shown)
    assert claims["exp"] - claims["iat"] == 3600
    now = int(time.time())
    claims |= {"iat": now, "exp": now + 3600}
    client = client_of(app, jwt.encode(claims, SECRET, "HS256"))
    payment_id = client.post("/payments", json=payment()).json["id"]
    assert client.get(f"/payments/{payment_id}/history").json[0]["user_id"] == claims["userId"]


def test_every_file_of_deploy_is_installed():
    commands = "".join(blocks(section(INSTALLING, "Step by step"), "sh"))
    for path in DEPLOY.iterdir():
        assert re.search(rf"payments_service/deploy/{re.escape(path.name)}\s", commands)


def test_the_database_is_created_before_the_service_starts():
    commands = "".join(blocks(section(INSTALLING, "Step by step"), "sh"))
    assert 0 < commands.index("payments() {") < commands.index("\npayments migrate\n") < commands.index("enable --now")


def test_every_command_is_one_that_a_shell_can_read():
    for page in PAGES:
        for block in blocks(page.read_text(), "sh"):
            subprocess.run(["sh", "-n"], input=block, text=True, check=True)


def test_the_limits_of_nginx_are_documented():
    site = (DEPLOY / "nginx.conf").read_text()
    limits = [re.search(limit, site)[1] for limit in (r"payments_connections (\d+);", r"rate=(\d+)r/s", r"burst=(\d+)")]
    promise = "each client address {} requests at the same time and {} requests per second, with bursts of {} more"
    assert promise.format(*limits) in " ".join(section(INSTALLING, "Network limits").split())


# Operating


def test_the_commands_work_as_they_are_written(database_url, server):
    settings = environment(JWT_SECRET=SECRET, DATABASE_URL=database_url, PORT=str(server.port))
    (commands,) = blocks(section(OPERATING, "Commands"), "sh")
    assert len(commands.splitlines()) == 14
    for line in commands.splitlines():
        command = shlex.split(line, comments=True)
        assert command[0] == ".venv/bin/flask"
        subprocess.run([sys.executable, "-m", "flask", *command[1:]], cwd=PROJECT, env=settings, check=True)


def test_a_backup_is_made_and_restored_as_it_is_written(tmp_path):
    settings = environment(JWT_SECRET=SECRET, DATABASE_URL=f"sqlite:///{tmp_path}/payments.db")
    backup = blocks(section(OPERATING, "Back up"), "sh")[-1]
    (restore,) = blocks(section(OPERATING, "Restore"), "sh")
    backup, restore = (shlex.split(block.replace("/var/lib/payments", str(tmp_path))) for block in (backup, restore))

    def run(*command):
        command = [sys.executable, "-m", "flask", *command]
        return subprocess.run(command, cwd=PROJECT, env=settings, check=True, capture_output=True, text=True).stdout

    run("--app", "wsgi", "migrate")
    made = run(*backup[1:]).removesuffix("\n")
    shape = re.sub(r"\d", "0", restore[-1])
    assert re.sub(r"\d", "0", made) == shape
    assert "is restored" in run(*restore[1:-1], made)


def test_a_secret_is_rotated_as_it_is_written(tmp_path):
    file = tmp_path / "jwt-secret"
    file.write_text("the old secret, of at least 32 bytes\n")
    harmless = 'sudo() { case "$1" in systemctl) ;; *) "$@" ;; esac; }\n'

    def run(block):
        commands = harmless + block.replace("/etc/payments", str(tmp_path)).replace(" -g payments", "")
        subprocess.run(["sh", "-euc", commands], check=True)
        app = create_app({"JWT_SECRET_FILE": str(file)})
        return [key.material for key in app.extensions["payments"].tokens.source.current()]

    add, remove = blocks(section(OPERATING, "Rotate keys"), "sh")
    new, old = run(add)
    assert old == "the old secret, of at least 32 bytes"
    assert run(remove) == [new]


def run_as_installed(block, tmp_path):
    """Run commands of an installed machine on a database of their own; return what they print."""
    functions = f'payments() {{ {shlex.quote(sys.executable)} -m flask --app wsgi "$@"; }}\nsudo() {{ :; }}\n'
    settings = environment(JWT_SECRET=SECRET, DATABASE_URL=f"sqlite:///{tmp_path}/payments.db")
    command = ["sh", "-euc", functions + block.replace("/var/lib/payments", str(tmp_path))]
    return subprocess.run(command, cwd=PROJECT, env=settings, capture_output=True, text=True, check=True).stdout


def test_a_restaurant_moves_in_as_it_is_written(tmp_path):
    run_as_installed("payments migrate", tmp_path)
    Ambrosia(tmp_path / "ambrosia.db").add({"id": "receipt 7", "amount": 5})
    (from_ambrosia,) = blocks(section(MOVING_IN, "From Ambrosia"), "sh")
    assert "Nothing was altered. Closing 1: " in run_as_installed(from_ambrosia, tmp_path)
    from_csv = section(MOVING_IN, "From anything else: CSV")
    (shown,), (commands,) = blocks(from_csv, "csv"), blocks(from_csv, "sh")
    (tmp_path / "till.csv").write_text(shown)
    assert "2 recorded" in run_as_installed(commands, tmp_path)
    # Then without the dry run.
    command = commands.partition("\n")[2].replace("--dry-run", "").replace("till-dry-run", "till-list")
    run_as_installed(command, tmp_path)
    (export,) = blocks(section(MOVING_IN, "Moving out: export"), "sh")
    run_as_installed(export, tmp_path)
    assert len((tmp_path / "payments.csv").read_text().splitlines()) == 4


@on_sqlite
def test_every_metric_is_documented(client):
    # Each counter and histogram has a gauge beside it, of when it was created.
    counted = set(re.findall(r"^# TYPE (payments_\w+)(?<!_created) ", client.get("/metrics").text, re.MULTILINE))
    documented = {row[0].strip("`") for row in rows(section(OPERATING, "Health and metrics"))}
    assert counted
    assert documented >= counted


# Lightning


@on_one_engine
def test_phoenixd_is_connected_as_it_is_written(database_url, serve, tmp_path):
    node = FakePhoenixd()
    port = serve(node).rpartition(":")[2]
    places = {"/etc/payments": str(tmp_path), "/var/lib/phoenixd": str(tmp_path)}
    (tmp_path / "payments.env").write_text(move((DEPLOY / "payments.env").read_text(), places))
    passwords = f"http-password={node.full_key}\nhttp-password-limited-access={node.key}\nwebhook-secret=12\n"
    (tmp_path / "phoenix.conf").write_text(passwords)

    text = section(LIGHTNING, "phoenixd from zero")
    *_, give_password, configure = blocks(text, "sh")
    run_without_root(give_password, places)
    run_without_root(configure.replace("payments doctor", ""), places)
    webhook = "webhook=http://127.0.0.1:9154/payments/lightning/wake\n"
    assert (tmp_path / "phoenix.conf").read_text() == passwords + webhook
    configured = (tmp_path / "payments.env").read_text().replace(":9740", f":{port}")
    settings = dict(re.findall("^PAYMENTS_(LIGHTNING.*?)=(.*)$", configured, re.MULTILINE))

    command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor"]
    variables = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET, **settings)
    found = subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True).stdout
    assert re.search("`doctor` should print `(ok .*)`", text)[1] in found.splitlines()


def test_a_preimage_is_checked_as_it_is_written():
    *_, check = blocks(section(LIGHTNING, 'A guest says "I paid"'), "sh")
    assert run_without_root(check, {}) == hashlib.sha256(bytes(32)).hexdigest() + "\n"


# Embedding


def test_the_package_gets_on_the_path_as_it_is_written(tmp_path):
    environment_folder = tmp_path / "venv"
    venv.create(environment_folder, with_pip=False)
    # In place of the first command, which needs a package index.
    installed_packages = [path for path in sys.path if path.endswith("site-packages")]
    (commands,) = blocks(section(EMBEDDING, "Make the package importable"), "sh")
    install, *others = commands.splitlines()
    assert install.endswith("-m pip install -r /opt/payments/requirements.txt")
    places = {"/opt/till/.venv": environment_folder, "/opt/payments": PROJECT}
    others = re.sub("|".join(places), lambda found: str(places[found[0]]), "\n".join(others))
    settings = environment() | {"PYTHONPATH": os.pathsep.join(installed_packages)}
    result = subprocess.run(["sh", "-euc", others], cwd="/", env=settings, capture_output=True, text=True, check=True)
    assert result.stdout == f"{__version__}\n"


# Contributing


def test_every_room_of_the_house_is_listed_in_its_order():
    listed = [row[0] for row in rows(section(CONTRIBUTING, "Where things live"))[1:]]
    assert [re.sub(r"`(\w+)(\.py|/)`", r"\1", room) for room in listed] == ORDER[:-1]
