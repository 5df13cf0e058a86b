"""flask --app wsgi close, archive and verify FILE, and the archive over HTTP"""
import hashlib
import json
import subprocess
import sys
from decimal import Decimal

import pytest

from payments_service.web import streaming

from ..support.closings import CLOSINGS, MOVEMENTS, close
from ..support.payments import CASH, CREDIT_CARD, EUR, payment
from ..support.project import PROJECT, environment
from ..support.tampering import sealed_rows, without_triggers
from ..support.tokens import SECRET


@pytest.fixture
def run(app):
    """Run a command."""
    runner = app.test_cli_runner()
    return lambda *args: runner.invoke(args=[str(arg) for arg in args])


@pytest.fixture
def closed(client, add_payment):
    """Close twice."""
    for number in (1, 2):
        payment_id = add_payment(amount=Decimal("45.50"))
        moved = payment(method_id=CREDIT_CARD, transaction_id="", amount=Decimal("46.00"))
        assert client.put(f"/payments/{payment_id}", json=moved).status_code == 200
        body = {"kind": "paid_out", "method_id": CASH, "currency_id": EUR, "amount": Decimal("5.00"), "reason": "rolls"}
        assert client.post(MOVEMENTS, json=body).status_code == 201
        add_payment(amount=Decimal("20.00"))
        assert close(client, (CASH, EUR, "40.00", "30.00")) == number
    return client


def hash_of(client, number):
    """Return the hash that a closing shows."""
    return client.get(f"{CLOSINGS}/{number}").json["hash"]


def test_the_sha256_of_the_archive_is_the_hash(closed):
    response = closed.get(f"{CLOSINGS}/2/archive")
    assert hashlib.sha256(response.data).hexdigest() == hash_of(closed, 2)
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"] == 'attachment; filename="closing-2.jsonl"'
    first, *_, last = map(json.loads, response.data.splitlines())
    assert (first["number"], first["previous_hash"]) == (2, hash_of(closed, 1))
    assert (last["entries"], last["postings"]) == (4, 5)


def test_an_archive_with_many_lines_is_streamed(closed, monkeypatch):
    whole = closed.get(f"{CLOSINGS}/2/archive")
    monkeypatch.setattr(streaming, "MAX_ITEMS_IN_MEMORY", 2)
    response = closed.get(f"{CLOSINGS}/2/archive")
    assert response.data == whole.data
    assert hashlib.sha256(response.data).hexdigest() == hash_of(closed, 2)


@pytest.mark.parametrize("number", ["3", "0", "x"])
def test_a_closing_that_does_not_exist_has_no_archive(closed, number):
    assert closed.get(f"{CLOSINGS}/{number}/archive").status_code == 404


def test_close_prints_the_number_and_the_hash(run, client, add_payment):
    add_payment()
    result = run("close")
    closing = client.get(f"{CLOSINGS}/1").json
    assert (result.exit_code, result.output) == (0, f"1 {closing['hash']}\n")
    assert closing["user_id"] is None
    assert closing["lines"][0]["counted"] is None


def test_close_with_another_number_closes_nothing(run, closed):
    result = run("close", "--number", 2)
    assert result.exit_code == 1
    assert "This is not the number of the next closing" in result.output
    assert closed.get(f"{CLOSINGS}/next").json["number"] == 3


def test_close_works_while_the_service_runs(server, database_url):
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "close"]
    env = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET)
    result = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True)
    assert (result.returncode, result.stdout[:2]) == (0, "1 "), result.stderr
    assert server.request("GET", f"{CLOSINGS}/1")[0] == 200


def test_archive_writes_the_files_that_are_missing(run, closed, tmp_path):
    folder = tmp_path / "archives"
    assert run("archive", folder).output == f"{folder / 'closing-1.jsonl'}\n{folder / 'closing-2.jsonl'}\n"
    for number in (1, 2):
        content = (folder / f"closing-{number}.jsonl").read_bytes()
        assert hashlib.sha256(content).hexdigest() == hash_of(closed, number)
        assert content == closed.get(f"{CLOSINGS}/{number}/archive").data
    (folder / "closing-1.jsonl").unlink()
    assert run("archive", folder).output == f"{folder / 'closing-1.jsonl'}\n"
    assert sorted(path.name for path in folder.iterdir()) == ["closing-1.jsonl", "closing-2.jsonl"]


def test_archive_never_replaces_a_file_with_other_bytes(run, closed, tmp_path):
    path = tmp_path / "closing-1.jsonl"
    path.write_text("mine")
    result = run("archive", tmp_path)
    assert result.exit_code == 1
    assert f"{path} is not the archive of closing 1: it was left as it is" in result.output
    assert path.read_text() == "mine"
    assert (tmp_path / "closing-2.jsonl").exists()


def test_archive_writes_no_file_of_an_altered_closing(run, closed, rows, tmp_path):
    with without_triggers(rows):
        sealed_rows(rows, "history")[0].set("request_id", "another")
    result = run("archive", tmp_path / "archives")
    assert result.exit_code == 1
    assert "closing 2 was changed: its archive does not have its hash" in result.output
    assert [path.name for path in (tmp_path / "archives").iterdir()] == ["closing-1.jsonl"]


def test_a_folder_that_cannot_be_written_is_named(run, closed, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("archive", tmp_path / "file")
    assert (result.exit_code, result.output) == (1, f"Error: {tmp_path / 'file'} cannot be written: File exists\n")


@pytest.fixture
def files(run, closed, tmp_path):
    """Write the archives into files."""
    run("archive", tmp_path / "archives")
    return sorted((tmp_path / "archives").iterdir())


def test_files_are_verified_without_the_database(closed, files, tmp_path):
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "verify", *files]
    env = environment(DATABASE_URL=f"sqlite:///{tmp_path}/absent/payments.db", JWT_SECRET=SECRET)
    result = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True)
    expected = "".join(f"{hash_of(closed, number)}  {file}\n" for number, file in enumerate(files, 1))
    assert (result.returncode, result.stdout) == (0, expected), result.stderr
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"amount":-5.00', '"amount":-6.00', "paid_out, method {cash}, currency {eur}: the total is 5.00"),
        ('"amount":45.50,"tip":', '"amount":45.51,"tip":', "payments, method {cash}"),
        ('"tip":0.00', '"tip":0.01', "tips, method {cash}"),
        ('"tips":', '"tips":1', "tips, method {cash}"),
        ('"expected":', '"expected":1', "expected, method {cash}"),
        ('"takings":', '"takings":1', "user 12, method {cash}"),
        ('"entries":4', '"entries":5', "it has 4 entries, and its last line says 5"),
        ('{"posting_id"', '{"posting"', "a line of an unknown kind"),
        ('"closed_at":', '"closed":', "a line of an unknown kind"),
        ('"previous_hash":"', '"previous_hash":"0', "follows another closing 1"),
        ('"currency":"EUR"', '"currency":1', "is not an archive"),
    ],
)
def test_a_file_that_contradicts_itself_is_named(run, files, old, new, fault):
    text = files[1].read_text()
    assert old in text
    files[1].write_text(text.replace(old, new, 1))
    result = run("verify", *files)
    assert result.exit_code == 1
    assert str(files[1]) in result.stderr
    assert fault.format(cash=CASH, eur=EUR) in result.stderr


def test_a_file_that_is_cut_off_is_named(run, files):
    lines = files[0].read_bytes().splitlines(keepends=True)
    for cut in (lines[:-1], [*lines[:-1], lines[-1][:-1]], lines[:0], lines[:2] + lines[3:], lines + lines[-1:]):
        files[0].write_bytes(b"".join(cut))
        result = run("verify", files[0])
        assert result.exit_code == 1
        assert result.stderr.startswith(f"wrong: {files[0]}")


def test_an_altered_file_breaks_the_chain_of_the_next(run, files):
    files[0].write_text(files[0].read_text().replace('"request_id":"', '"request_id":"x', 1))
    result = run("verify", *files)
    assert result.exit_code == 1
    assert result.stderr == f"wrong: {files[1]} follows another closing 1 than {files[0]}\n"
    # By itself it contradicts nothing: the hash on paper does.
    assert run("verify", files[0]).exit_code == 0
