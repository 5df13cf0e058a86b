"""What the README promises"""
import json
import re
import shlex
import subprocess
import sys

import pytest

from payments_service.settings import SETTINGS

from ..support.project import PROJECT, environment
from ..support.readme import README, commands, section
from ..support.tokens import SECRET, make_token
from ..unit.test_house import ORDER


def test_every_setting_is_in_the_readme_with_its_default():
    rows = dict(re.findall(r"^\| `PAYMENTS_(\w+)` \| (.+?) \|", section("Configure"), re.MULTILINE))
    assert rows.keys() == SETTINGS.keys()
    for name, (_, default) in SETTINGS.items():
        written = rows[name].strip("`").replace(":///", f":///{PROJECT}/")
        assert written == (str(default) if default else "none")


def test_every_target_of_make_is_explained():
    targets = re.findall(r"^([a-z]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    for target in targets:
        assert f"make {target}" in README
    assert subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True).stdout.count("make ") == len(
        targets
    )


@pytest.mark.skipif(not (PROJECT / ".venv" / "run").exists(), reason="the project was not installed by make")
def test_the_commands_to_try_work_as_written(server):
    shell = ["sh", "-euc", commands("Try it").replace("9154", str(server.port))]
    # As in a terminal: a make that was started by another one prints more.
    settings = {name: value for name, value in environment(JWT_SECRET=SECRET).items() if not name.startswith("MAKE")}
    result = subprocess.run(shell, cwd=PROJECT, env=settings, capture_output=True, text=True, check=True)
    answers = result.stdout.splitlines()
    assert ["Cash" in answers[0], "EUR" in answers[1]] == [True, True]
    assert "Payment added successfully" in answers[2]
    assert "Ticket payment relationship created successfully" in answers[3]
    assert '"amount":78.90' in answers[4]
    assert '"ticket_id":"table-4"' in answers[4]
    assert [entry["action"] for entry in json.loads(answers[5])] == ["created", "linked"]
    assert len(answers) == 6


@pytest.mark.skipif(not (PROJECT / ".venv" / "run").exists(), reason="the project was not installed by make")
def test_the_commands_to_retry_work_as_written(server):
    pay = section("Try it").partition("### When the answer gets lost")[2].partition("```sh\n")[2].partition("```")[0]
    settings = environment() | {"ACCESS_TOKEN": make_token()}
    shell = ["sh", "-euc", pay.replace("9154", str(server.port))]
    result = subprocess.run(shell, env=settings, capture_output=True, text=True, check=True)
    answers = result.stdout.split("HTTP/1.1 ")
    assert len(answers) == 2
    assert answers[1].startswith("201")
    assert "Idempotency-Replayed: true" in answers[1]
    assert len(server.request("GET", "/payments")[1]) == 1


def test_the_commands_to_operate_it_work_as_they_are_written(database_url, server):
    settings = environment(JWT_SECRET=SECRET, DATABASE_URL=database_url, PORT=str(server.port))
    lines = commands("Operate").splitlines()
    assert len(lines) == 9
    for line in lines:
        command = shlex.split(line, comments=True)
        assert command[0] == ".venv/bin/flask"
        subprocess.run([sys.executable, "-m", "flask", *command[1:]], cwd=PROJECT, env=settings, check=True)


def test_every_file_to_deploy_it_by_is_in_the_readme():
    for path in (PROJECT / "payments_service" / "deploy").iterdir():
        assert re.search(rf"payments_service/deploy/{re.escape(path.name)}\s", section("Deploy"))


def test_the_limits_of_nginx_are_in_the_readme():
    site = (PROJECT / "payments_service" / "deploy" / "nginx.conf").read_text()
    limits = [re.search(limit, site)[1] for limit in (r"payments_connections (\d+);", r"rate=(\d+)r/s", r"burst=(\d+)")]
    promise = "lets each address have {} requests under way and make {} a second, with {} more at once".format(*limits)
    assert promise in " ".join(section("Operate").split())


def test_a_backup_is_made_and_restored_as_it_is_written(tmp_path):
    settings = environment(JWT_SECRET=SECRET, DATABASE_URL=f"sqlite:///{tmp_path}/payments.db")
    blocks = re.findall(r"```sh\n(.*?)```", section("Operate").partition("### Back up and restore")[2], re.DOTALL)
    backup, restore = (shlex.split(block.replace("/var/lib/payments", str(tmp_path))) for block in blocks)

    def run(*command):
        command = [sys.executable, "-m", "flask", *command]
        return subprocess.run(command, cwd=PROJECT, env=settings, check=True, capture_output=True, text=True).stdout

    run("--app", "wsgi", "migrate")
    made = run(*backup[1:]).removesuffix("\n")
    shape = re.sub(r"\d", "0", restore[-1])
    assert re.sub(r"\d", "0", made) == shape
    assert "is restored" in run(*restore[1:-1], made)


def test_every_module_is_in_the_readme_in_order():
    rows = section("Where things live").partition("|---|---|")[2].rpartition("|")[0]
    assert re.findall(r"`(\w+)(?:\.py|/)`", rows) == ORDER[:-1]
