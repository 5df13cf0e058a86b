"""Starting a new installation: its settings and its secret"""
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ..support.engines import on_one_engine
from ..support.migrating import migrate_new
from ..support.project import PROJECT, environment
from ..support.tokens import SECRET, make_token


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy the project, without its instance folder."""
    shutil.copytree(PROJECT / "payments_service", tmp_path / "project" / "payments_service")
    shutil.copy(PROJECT / "wsgi.py", tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("command", [["wsgi.py"], ["-m", "flask", "--app", "wsgi", "token"]])
def test_a_wrong_setting_ends_the_process_with_one_line(project, command):
    result = subprocess.run(
        [sys.executable, *command], cwd=project, env=environment(PORT="http"), capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr == "payments: PAYMENTS_PORT must be a whole number from 0 to 65535\n"


@on_one_engine
def test_relative_paths_start_at_the_projects_folder(project, start_server, tmp_path):
    (project / "secret").write_text(SECRET)
    migrate_new(f"sqlite:///{project}/till.db")
    server = start_server(project, JWT_SECRET="", JWT_SECRET_FILE="secret", DATABASE_URL="sqlite:///till.db")
    assert server.request("GET", "/payments") == (204, None)
    assert (project / "till.db-wal").exists()


@on_one_engine
def test_the_first_start_writes_a_secret_for_its_owner_only(project, start_server):
    server = start_server(project, JWT_SECRET="")
    file = project / "instance" / "jwt-secret"
    assert len(file.read_text().strip()) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [line for line in server.log if str(file) in line]
    assert file.read_text().strip() not in "".join(server.log)


@on_one_engine
def test_each_migration_is_logged_once(project, start_server, tmp_path):
    url = f"sqlite:///{tmp_path}/new.db"
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "migrate"]
    migrated = subprocess.run(
        command, cwd=project, env=environment(DATABASE_URL=url), stderr=subprocess.PIPE, text=True, check=True
    )
    server = start_server(project, DATABASE_URL=url)
    migrations = list((PROJECT / "payments_service" / "migrations").glob("0*.py"))
    assert (migrated.stderr + "".join(server.log)).count("up: ") == len(migrations)


@on_one_engine
def test_two_first_starts_at_once_share_one_secret(project, start_server):
    with ThreadPoolExecutor(2) as starters:
        servers = list(starters.map(lambda _: start_server(project, JWT_SECRET=""), range(2)))
    token = make_token(secret=(project / "instance" / "jwt-secret").read_text().strip())
    for server in servers:
        assert server.request("GET", "/payments", Cookie=f"accessToken={token}") == (204, None)


@on_one_engine
def test_later_starts_and_the_token_command_use_that_secret(project, start_server):
    def token():
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "token"]
        return subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True).stdout.strip()

    before = token()
    for _ in range(2):
        server = start_server(project, JWT_SECRET="")
        assert server.request("GET", "/payments", Cookie=f"accessToken={before}") == (204, None)
        assert server.request("GET", "/payments", Cookie=f"accessToken={token()}") == (204, None)
        assert server.stop() == 0


def test_make_run_creates_the_database_before_it_serves():
    """The service itself creates none: the disk of a missing one may not be mounted."""
    command = ["make", "--dry-run", "--no-print-directory", "run"]
    commands = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True).stdout
    assert commands.splitlines()[-2:] == [".venv/bin/flask --app wsgi migrate >/dev/null", ".venv/bin/python wsgi.py"]
