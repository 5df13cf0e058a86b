"""LNbits as the guide sets it up"""
import contextlib
import re
import shlex
import subprocess
import sys
from decimal import Decimal

import pytest

from ..support.engines import on_one_engine
from ..support.guides import DEPLOY, LIGHTNING, blocks, section
from ..support.network import find_free_port
from ..support.payments import BTC
from ..support.project import PROJECT, environment
from ..support.shell import move, run_without_root
from ..support.tokens import SECRET
from .lnbits import INSTALLED

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not (INSTALLED / "done").exists(), reason="make lightning has not installed LNbits"),
]


@contextlib.contextmanager
def started(unit):
    """Run what a systemd unit runs, in its folder and with its environment, until the end of the block."""
    (folder,) = re.findall("^WorkingDirectory=(.*)$", unit, re.MULTILINE)
    (command,) = re.findall("^ExecStart=(.*)$", unit, re.MULTILINE)
    variables = dict(re.findall("^Environment=(.*?)=(.*)$", unit, re.MULTILINE))
    # In place of the network, from which the first start reads lists of extensions.
    variables |= {"LNBITS_EXTENSIONS_MANIFESTS": "[]", "LNBITS_WASM_EXTENSIONS_MANIFESTS": "[]"}
    with open(f"{folder}/log", "w") as log, subprocess.Popen(
        shlex.split(command), cwd=folder, env=variables, stdout=log, stderr=log
    ) as process:
        try:
            yield
        finally:
            process.kill()


@on_one_engine
def test_an_lnbits_that_is_set_up_as_it_is_written_works(database_url, tmp_path, start_server, invoice_path):
    port = find_free_port()
    places = {
        "/opt/lnbits": str(INSTALLED), "/var/lib/lnbits": f"{tmp_path}/lnbits", "/etc/payments": str(tmp_path),
        ":5000": f":{port}", "--port 5000": f"--port {port}",
    }
    text = section(LIGHTNING, "LNbits from zero")
    install, _, wallet, configure = blocks(text, "sh")
    (unit,) = blocks(text, "ini")
    file = tmp_path / "payments.env"
    file.write_text(move((DEPLOY / file.name).read_text(), places))

    # LNbits itself is installed already.
    run_without_root("".join(line for line in install.splitlines(True) if "mkdir" in line or "ln -s" in line), places)
    with started(move(unit, places)):
        run_without_root(wallet, places)
        run_without_root(configure.replace("payments doctor", ""), places)
        settings = dict(re.findall("^PAYMENTS_(LIGHTNING.*?)=(.*)$", file.read_text(), re.MULTILINE))

        command = [sys.executable, "-m", "flask", "--app", "wsgi", "doctor"]
        variables = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET, **settings)
        found = subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True).stdout
        assert re.search("`doctor` should print `(ok .*)`", text)[1] in found.splitlines()

        wanted = {"currency_id": BTC, "amount": Decimal("0.00002100")}
        assert start_server(**settings).request("PUT", invoice_path, wanted)[0] == 201
