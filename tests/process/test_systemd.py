"""Notifying systemd, and the shipped units"""
import contextlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import uuid

import pytest

from payments_service.server.serve import CONNECTION_LIMIT
from payments_service.settings import SETTINGS

from ..support.engines import on_sqlite
from ..support.project import PROJECT

DEPLOY = PROJECT / "payments_service" / "deploy"
UNITS = sorted(path for path in DEPLOY.iterdir() if path.suffix in (".service", ".timer"))


@pytest.fixture(params=["in a folder", "abstract"])
def notify_socket(request, tmp_path, monkeypatch):
    """Listen on the notify socket of services that are started after this."""
    address = str(tmp_path / "notify") if request.param == "in a folder" else f"@payments-{uuid.uuid4().hex}"
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.settimeout(30)
        listening.bind(re.sub("^@", "\0", address))
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield listening


@on_sqlite
def test_systemd_is_notified_of_the_start_and_the_stop(notify_socket, server):
    assert notify_socket.recv(100) == b"READY=1"
    assert server.request("GET", "/payments")[0] == 204
    assert server.stop() == 0
    assert notify_socket.recv(100) == b"STOPPING=1"


@on_sqlite
def test_systemd_is_not_notified_of_a_failed_start(notify_socket, start_server):
    assert start_server(HOST="300.1.1.1").wait() == 1
    notify_socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        notify_socket.recv(100)


@on_sqlite
def test_a_missing_notify_socket_is_logged_and_ignored(
    start_server, tmp_path, monkeypatch
):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    server = start_server()
    assert server.request("GET", "/payments")[0] == 204
    assert server.stop() == 0
    assert "does not take READY=1" in "".join(server.log)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_understands_the_units(tmp_path):
    for unit in UNITS:
        # A missing program is an error too.
        text = re.sub(r"/opt/payments/\.venv/bin/\w+", sys.executable, unit.read_text())
        (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *(tmp_path / unit.name for unit in UNITS)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("unit", ["payments-backup.service", "payments-close.service"])
def test_other_units_have_the_sandbox_of_the_service(unit):
    service, other = ((DEPLOY / name).read_text() for name in ("payments.service", unit))
    sandbox = service.partition("# Sandbox, the same for the service")[2].partition("\n\n[Install]")[0]
    assert "ProtectSystem=strict" in sandbox
    assert sandbox in other
    for line in ("User=payments", "WorkingDirectory=/opt/payments", "EnvironmentFile=/etc/payments/payments.env"):
        assert f"\n{line}\n" in service
        assert f"\n{line}\n" in other


@pytest.mark.parametrize("unit", ["payments.service", "payments-backup.service", "payments-close.service"])
def test_the_units_require_the_disk_of_the_database(unit):
    (url,) = re.findall("^PAYMENTS_DATABASE_URL=(.*)$", (DEPLOY / "payments.env").read_text(), re.MULTILINE)
    section = (DEPLOY / unit).read_text().partition("[Unit]")[2].partition("[Service]")[0]
    folder = url.removeprefix("sqlite:///").rpartition("/")[0]
    assert f"\nRequiresMountsFor={folder}\n" in section


def test_the_unit_allows_the_files_for_all_connections():
    files = int(re.search("^LimitNOFILE=(.*)$", (DEPLOY / "payments.service").read_text(), re.MULTILINE)[1])
    assert files * 4 // 5 == CONNECTION_LIMIT


def test_the_example_environment_sets_what_the_service_reads():
    lines = re.findall("^#?(PAYMENTS_.*)", (DEPLOY / "payments.env").read_text(), re.MULTILINE)
    assert lines
    for line in lines:
        ((name, _, value),) = [word.partition("=") for word in shlex.split(line)]
        read, _ = SETTINGS[name.removeprefix("PAYMENTS_")]
        assert read(value)
