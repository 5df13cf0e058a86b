"""The API document as linters see it, and clients that are generated from it; `make clients` installs their programs"""
import json
import os
import re
import shutil
import subprocess
import urllib.request
from decimal import Decimal

import pytest

from ..support.engines import on_one_engine
from ..support.guides import API_GUIDE, blocks, section
from ..support.project import PROJECT
from ..support.tokens import make_token

pytestmark = on_one_engine

CLIENTS = PROJECT / "tests" / "clients"
INSTALLED = PROJECT / ".venv" / "clients"
NODE_PROGRAMS = INSTALLED / "node_modules" / ".bin"
PYTHON_PROGRAMS = INSTALLED / "python" / "bin"
# What Redocly 2.77 needs.
OLDEST_NODE = (20, 19)

RESULTS = {
    "empty": [204, None],
    "created": [201, "Payment added successfully"],
    "replayed": [201, True],
    "listed": [200, [12]],
    "updated": [200, "Payment updated successfully"],
    "outdated": [412, 412],
    "invalid": [422, ["Must be zero or more."]],
    "linked": [201, "ticket-1"],
    "history": [200, [None, None, "ticket-1"]],
    "unlinked": [204, None],
    "deleted": [204, None],
}


def find_obstacle_to_node_programs():
    """Return why the programs of Node.js cannot run, None if they can."""
    if not shutil.which("node"):
        return "Node.js is not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST_NODE:
        return f"Node.js {'.'.join(map(str, OLDEST_NODE))} or newer is needed"
    return None if NODE_PROGRAMS.exists() else "make clients has not installed them"


OBSTACLE = find_obstacle_to_node_programs()
with_node = pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE))
with_python = pytest.mark.skipif(not PYTHON_PROGRAMS.exists(), reason="make clients has not installed the generator")


@pytest.fixture
def root(server):
    """Return the address of a running service."""
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def document(root, tmp_path):
    """Save the document of a running service."""
    with urllib.request.urlopen(f"{root}/openapi.json", timeout=30) as response:
        (tmp_path / "openapi.json").write_bytes(response.read())
    return tmp_path / "openapi.json"


def run(*command):
    """Run a program and return its output; fails with it if the program does."""
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    # The generator formats its code with ruff.
    path = {"PATH": f"{PYTHON_PROGRAMS}:{os.environ['PATH']}"}
    result = subprocess.run(command, env=os.environ | quiet | path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@with_node
def test_spectral_has_no_complaint_about_the_document(document):
    run(NODE_PROGRAMS / "spectral", "lint", "--fail-severity=hint", "--ruleset", CLIENTS / "spectral.yaml", document)


@with_node
def test_redocly_has_no_complaint_about_the_document(document):
    run(NODE_PROGRAMS / "redocly", "lint", "--config", CLIENTS / "redocly.yaml", document)


@with_node
def test_a_generated_typescript_client_works(document, root, tmp_path):
    (tmp_path / "node_modules").symlink_to(INSTALLED / "node_modules")
    for name in ("package.json", "client.ts"):
        shutil.copy(CLIENTS / name, tmp_path)
    run(NODE_PROGRAMS / "openapi-typescript", document, "--output", tmp_path / "schema.d.ts")
    # The guide's example has to compile too.
    (example,) = blocks(section(API_GUIDE, "Generated clients"), "ts")
    (tmp_path / "example.ts").write_text(f"declare const accessToken: string;\n{example}\nexport const got = data;\n")
    shutil.copy(tmp_path / "schema.d.ts", tmp_path / "payments.d.ts")
    options = ["--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext"]
    run(NODE_PROGRAMS / "tsc", *options, "--outDir", tmp_path, tmp_path / "client.ts", tmp_path / "example.ts")
    assert json.loads(run("node", tmp_path / "client.js", root, make_token()), parse_float=Decimal) == RESULTS


@with_python
def test_a_generated_python_client_works(document, root, tmp_path):
    shutil.copy(CLIENTS / "client.py", tmp_path)
    package = ["--meta", "none", "--output-path", tmp_path / "payments_client"]
    options = ["--fail-on-warning", "--config", CLIENTS / "openapi-python-client.yaml", "--path", document, *package]
    run(PYTHON_PROGRAMS / "openapi-python-client", "generate", *options)
    output = run(PYTHON_PROGRAMS / "python", tmp_path / "client.py", root, make_token())
    assert json.loads(output, parse_float=Decimal) == RESULTS
    (example,) = blocks(section(API_GUIDE, "Generated clients"), "python")
    example = f"access_token = {make_token()!r}\n{example}\nassert response.status_code == 204\n"
    (tmp_path / "example.py").write_text(example.replace("http://127.0.0.1:9154", root))
    run(PYTHON_PROGRAMS / "python", tmp_path / "example.py")
