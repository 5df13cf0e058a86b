"""SQLite's files: they stay the same while the service runs, and each has one path"""
import contextlib
import os
import shutil
import signal
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import peewee
import pytest

from payments_service import UnusableDatabase, database
from payments_service.database import sqlite

from ..support.clients import client_of
from ..support.engines import on_sqlite
from ..support.migrating import migrate, migrate_new
from ..support.payments import ID, payment
from ..support.rows import stored
from ..support.sqlite import can_mount, mounted
from ..support.tokens import make_token
from ..support.waiting import wait_until

pytestmark = on_sqlite

SIDE_FILES = ["-wal", "-shm"]


@pytest.fixture
def file(database_url: str) -> Path:
    """Return the path of the database."""
    return Path(database_url.removeprefix("sqlite:///"))


def lose(path: Path, lost: str) -> None:
    """Delete a file, move it away, or put another one of the same content or an empty one in its place."""
    match lost:
        case "deleted":
            path.unlink()
        case "moved":
            path.rename(f"{path}.moved")
        case "replaced":
            os.replace(shutil.copy(path, f"{path}.copy"), path)
        case "emptied":
            # The file system may give the new file the inode that has become free.
            path.unlink()
            path.touch()


def transaction_ids(server):
    """Return the transaction ids of all payments."""
    return {listed["transaction_id"] for listed in server.request("GET", "/payments")[1]}


# While the service runs


@pytest.mark.parametrize("lost", ["deleted", "moved", "replaced", "emptied"])
@pytest.mark.parametrize("suffix", SIDE_FILES)
def test_after_a_lost_side_file_nothing_is_acknowledged(make_app, client, file, suffix, lost):
    client.post("/payments", json=payment())
    lose(Path(f"{file}{suffix}"), lost)
    assert client.post("/payments", json=payment(transaction_id="txn-2")).status_code == 503
    assert client.get("/payments").status_code == 503
    response = client.get("/health/ready")
    assert response.status_code == 503
    reason = f"The file {file}{suffix} was deleted or replaced while the service ran: start the service again."
    assert response.json["message"] == reason

    started_again = client_of(make_app(), make_token())
    assert [listed["transaction_id"] for listed in started_again.get("/payments").json] == ["txn-1"]
    assert started_again.post("/payments", json=payment(transaction_id="txn-3")).status_code == 201
    # The same process would write to a file that may be lost again.
    assert client.post("/payments", json=payment(transaction_id="txn-4")).status_code == 503


@pytest.mark.parametrize("suffix", ["", *SIDE_FILES])
def test_requests_that_only_read_notice_a_lost_file(client, file, suffix):
    client.post("/payments", json=payment())
    lose(Path(f"{file}{suffix}"), "deleted")
    wait_until(lambda: client.get("/payments").status_code == 503)
    assert not file.exists() or suffix


@pytest.mark.parametrize("suffix", ["", *SIDE_FILES])
def test_a_file_lost_during_a_write_is_not_acknowledged(app, file, suffix):
    @database.write()
    def lose_file():
        Path(f"{file}{suffix}").unlink()
        database.on_commit(lambda: acknowledged.append(1))

    acknowledged = []
    with app.app_context(), pytest.raises(peewee.OperationalError, match="deleted or replaced"):
        lose_file()
    assert acknowledged == []


def test_a_wal_file_lost_between_requests_is_saved_at_once(start_server, server, file):
    assert server.request("POST", "/payments", payment())[0] == 201
    Path(f"{file}-wal").unlink()
    wait_until(lambda: any("its payments were saved" in line for line in server.log))
    server.stop(signal.SIGKILL)
    assert transaction_ids(start_server()) == {"txn-1"}


@pytest.mark.parametrize("lost", ["deleted", "replaced"])
@pytest.mark.parametrize("suffix", SIDE_FILES)
def test_all_acknowledged_under_load_is_there_after_a_kill(start_server, server, file, suffix, lost):
    other = start_server()
    acknowledged, rejected = set(), threading.Event()

    def pay(till):
        for number in range(10**6):
            name = f"till-{till}-{number}"
            status, _ = (server, other)[till % 2].request("POST", "/payments", payment(transaction_id=name))
            if status != 201:
                assert status == 503
                rejected.set()
                return
            acknowledged.add(name)

    with ThreadPoolExecutor(8) as threads:
        tills = [threads.submit(pay, till) for till in range(8)]
        wait_until(lambda: len(acknowledged) > 100 or rejected.is_set())
        lose(Path(f"{file}{suffix}"), lost)
    for till in tills:
        till.result()
    for killed in (server, other):
        assert killed.request("GET", "/health/ready")[0] == 503
        killed.stop(signal.SIGKILL)
    assert transaction_ids(start_server()) >= acknowledged


def test_others_that_open_and_close_the_file_disturb_nothing(client, make_app, file, tmp_path):
    for number in range(3):
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            assert client.post("/payments", json=payment(transaction_id=f"txn-{number}")).status_code == 201
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close(make_app())
        assert client.application.test_cli_runner().invoke(args=["backup", str(tmp_path / str(number))]).exit_code == 0
    assert len(client.get("/payments").json) == 3


def test_a_closed_application_watches_new_side_files(app, client, file):
    client.post("/payments", json=payment())
    database.close(app)
    assert not Path(f"{file}-wal").exists()
    assert client.post("/payments", json=payment(transaction_id="txn-2")).status_code == 201
    Path(f"{file}-wal").unlink()
    assert client.post("/payments", json=payment(transaction_id="txn-3")).status_code == 503


def test_a_forgotten_reader_leaves_no_large_wal_file(monkeypatch, make_app, rows, file):
    monkeypatch.setattr(sqlite, "MAX_WAL_BYTES", 100_000)
    client = client_of(make_app(), make_token())
    rows.execute("PRAGMA wal_autocheckpoint = 0")
    rows.execute("BEGIN")
    rows.all("SELECT * FROM payment")
    for number in range(20):
        client.post("/payments", json=payment(transaction_id=f"txn-{number}"))
    wal = Path(f"{file}-wal")
    assert wal.stat().st_size > 100_000
    rows.execute("ROLLBACK")
    rows.execute("PRAGMA wal_checkpoint(FULL)")
    client.post("/payments", json=payment(transaction_id="later"))
    assert wal.stat().st_size <= 100_000


# At the start


def last_line(server):
    """Return the one line with which a server has ended."""
    assert server.wait() == 1
    assert len(server.log) == 1, server.log
    return server.log[0]


@pytest.mark.parametrize("content", [None, b""])
@pytest.mark.empty_database
def test_a_missing_or_empty_file_stops_the_start(start_server, file, content):
    if content is not None:
        file.write_bytes(content)
    before = sorted(file.parent.iterdir())
    assert last_line(start_server()) == (
        f"payments: the database sqlite:///{file} cannot be used: it is missing or empty: see that its disk is "
        "mounted, or run `flask --app wsgi migrate` to create it\n"
    )
    assert sorted(file.parent.iterdir()) == before


def test_a_missing_folder_stops_the_start_and_is_not_made(start_server, tmp_path):
    line = last_line(start_server(DATABASE_URL=f"sqlite:///{tmp_path}/disk/payments.db"))
    assert "see that its disk is mounted" in line
    assert not (tmp_path / "disk").exists()


def test_a_start_beside_a_lost_wal_file_is_rejected(short_timeouts, make_new_app, rows, file, tmp_path):
    rows.insert("method", {"id": stored(ID), "name": "Voucher"})
    Path(f"{file}-wal").unlink()
    app = make_new_app()
    with pytest.raises(UnusableDatabase, match=f"another process has it open, but {file}-wal was deleted"):
        migrate(app)
    result = app.test_cli_runner().invoke(args=["backup", str(tmp_path / "backups")])
    assert result.exit_code == 1
    assert "was deleted" in result.output
    assert not Path(f"{file}-wal").exists()
    # The last connection moves what its -wal file holds into the database.
    rows.connection.close()
    assert migrate(app) == []
    assert "Voucher" in [method["name"] for method in client_of(app, make_token()).get("/payments/methods").json]


# One path


def test_a_link_to_the_file_is_followed(start_server, file, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(file)
    server = start_server(DATABASE_URL=f"sqlite:///{link}")
    assert server.request("POST", "/payments", payment())[0] == 201
    assert Path(f"{file}-wal").exists()
    assert not Path(f"{link}-wal").exists()
    # The service stays with the file that the link led to.
    link.unlink()
    assert server.request("POST", "/payments", payment(transaction_id="txn-2"))[0] == 201


@pytest.mark.parametrize("command", ["start", "migrate"])
def test_the_wal_file_beside_a_missing_target_survives(server, start_server, make_new_app, file, tmp_path, command):
    link = tmp_path / "link.db"
    link.symlink_to(file)
    server.request("POST", "/payments", payment())
    server.stop(signal.SIGKILL)
    saved = file.read_bytes(), Path(f"{file}-wal").read_bytes()
    file.unlink()
    if command == "start":
        line = last_line(start_server(DATABASE_URL=f"sqlite:///{link}"))
    else:
        line = make_new_app(DATABASE_URL=f"sqlite:///{link}").test_cli_runner().invoke(args=["migrate"]).output
    assert "it is empty or missing while" in line
    assert not file.exists()
    file.write_bytes(saved[0])
    assert Path(f"{file}-wal").read_bytes() == saved[1]
    assert transaction_ids(start_server()) == {"txn-1"}


def test_a_restore_replaces_the_target_and_not_the_link(make_app, client, file, tmp_path):
    client.post("/payments", json=payment())
    runner = client.application.test_cli_runner()
    backup = runner.invoke(args=["backup", str(tmp_path / "backups")]).output.strip()
    database.close(client.application)
    link = tmp_path / "link.db"
    link.symlink_to(file)
    before = file.stat().st_ino
    app = make_app(DATABASE_URL=f"sqlite:///{link}")
    database.close(app)
    result = app.test_cli_runner().invoke(args=["restore", backup, "--force"])
    assert result.exit_code == 0, result.output
    assert link.is_symlink()
    assert file.stat().st_ino != before
    assert f"{file}.before-" in result.output


@pytest.fixture
def second_name(file, tmp_path):
    """Give the database a second name in another folder, and return it."""
    (tmp_path / "elsewhere").mkdir()
    second = tmp_path / "elsewhere" / "copy.db"
    os.link(file, second)
    return second


@pytest.mark.parametrize("by", ["first name", "second name"])
def test_a_hard_link_stops_the_start(start_server, file, second_name, by):
    path = file if by == "first name" else second_name
    assert last_line(start_server(DATABASE_URL=f"sqlite:///{path}")) == (
        f"payments: the database sqlite:///{path} cannot be used: it has a second name (a hard link), and each name "
        "would get a -wal file of its own: remove the other name, which is found with: "
        f"find / -xdev -samefile {path}\n"
    )
    second_name.unlink()
    assert start_server().port


@pytest.mark.parametrize("command", ["migrate", "backup", "restore", "methods"])
def test_a_hard_link_stops_each_command(make_new_app, file, second_name, tmp_path, command):
    shutil.copy(file, tmp_path / "backup.db")
    further = {"backup": [str(tmp_path)], "restore": [str(tmp_path / "backup.db"), "--force"], "methods": ["list"]}
    before = file.stat().st_ino, file.read_bytes()
    result = make_new_app().test_cli_runner().invoke(args=[command, *further.get(command, [])])
    assert result.exit_code == 1
    assert "it has a second name (a hard link)" in result.output
    assert len(result.output.splitlines()) == 1
    assert (file.stat().st_ino, file.read_bytes()) == before


def test_a_second_name_left_by_a_killed_restore_is_allowed(start_server, file):
    os.link(file, f"{file}.before-20261122T093000Z")
    assert start_server().request("GET", "/payments") == (204, None)


@pytest.mark.skipif(not can_mount(), reason="unshare is not installed, or may not mount")
@pytest.mark.parametrize("by", ["source", "mount point"])
def test_a_file_mounted_by_itself_stops_the_start(start_server, file, tmp_path, by):
    point = tmp_path / "with blank" / "mounted.db"
    point.parent.mkdir()
    point.touch()
    path = file if by == "source" else point
    server = start_server(command=mounted(file, point), DATABASE_URL=f"sqlite:///{path}")
    assert last_line(server) == (
        f"payments: the database sqlite:///{path} cannot be used: the file by itself is mounted at {point}, and each "
        "of its paths would get a -wal file of its own: mount its folder instead\n"
    )


@pytest.mark.skipif(not can_mount(), reason="unshare is not installed, or may not mount")
def test_a_folder_may_be_mounted_elsewhere(start_server, file, tmp_path):
    point = tmp_path / "mounted"
    point.mkdir()
    server = start_server(command=mounted(file.parent, point), DATABASE_URL=f"sqlite:///{point}/{file.name}")
    assert server.request("POST", "/payments", payment())[0] == 201
    # The same folder, so the same -wal file.
    assert Path(f"{file}-wal").exists()
    assert transaction_ids(start_server()) == {"txn-1"}


# Creating it


@pytest.mark.empty_database
def test_migrate_creates_the_file_for_its_owner_only(make_new_app, tmp_path):
    file = tmp_path / "new" / "folder" / "payments.db"
    result = make_new_app(DATABASE_URL=f"sqlite:///{file}").test_cli_runner().invoke(args=["migrate"])
    assert result.exit_code == 0, result.output
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("command", ["methods", "currencies"])
@pytest.mark.empty_database
def test_other_commands_do_not_create_it(make_new_app, file, command):
    result = make_new_app().test_cli_runner().invoke(args=[command, "list"])
    assert result.exit_code == 1
    assert "see that its disk is mounted" in result.output
    assert not file.exists()


@pytest.mark.empty_database
def test_an_empty_file_becomes_a_database(start_server, database_url, file):
    file.touch()
    migrate_new(database_url)
    assert start_server().request("GET", "/payments") == (204, None)
