"""The commands of `flask --app wsgi`"""
import subprocess
import sys
from uuid import UUID

import pytest

from payments_service.database import migrating

from ..support.payments import CASH, EUR
from ..support.project import PROJECT, environment
from ..support.tokens import SECRET


@pytest.fixture
def run(make_new_app):
    """Run a command."""
    runner = make_new_app().test_cli_runner()
    return lambda *args: runner.invoke(args=args)


@pytest.mark.empty_database
def test_migrate_prints_the_migrations_that_it_runs(run):
    *taken, last = run("migrate").output.splitlines()
    assert taken == [f"Applied {path.stem}." for path in sorted(migrating.MIGRATIONS.glob("0*.py"))]
    assert last == "The database is up to date."
    assert run("migrate").output == "The database is up to date.\n"


def test_methods_are_listed(run):
    result = run("methods", "list")
    assert result.exit_code == 0
    assert result.output.splitlines()[0] == f"{CASH}  Cash"
    assert len(result.output.splitlines()) == 4


def test_an_added_method_is_listed_last_and_served(run, client):
    method_id = run("methods", "add", "Meal voucher").output.strip()
    assert UUID(method_id).version == 7
    assert run("methods", "list").output.splitlines()[-1] == f"{method_id}  Meal voucher"
    assert client.get(f"/payments/methods/{method_id}").json == {"id": method_id, "name": "Meal voucher"}


def test_a_renamed_method_keeps_its_id(run, client):
    assert run("methods", "rename", "Cash", "Efectivo").exit_code == 0
    assert client.get(f"/payments/methods/{CASH}").json == {"id": CASH, "name": "Efectivo"}


def test_currencies_are_listed_with_their_decimals(run):
    result = run("currencies", "list")
    assert result.exit_code == 0
    assert [line.split()[1:] for line in result.output.splitlines()] == [
        ["2", "EUR"],
        ["2", "USD"],
        ["2", "MXN"],
        ["8", "BTC"],
    ]


def test_an_added_currency_is_listed_last_and_served(run, client):
    currency_id = run("currencies", "add", "PTS", "--decimals", "0").output.strip()
    assert UUID(currency_id).version == 7
    assert run("currencies", "list").output.splitlines()[-1].split() == [currency_id, "0", "PTS"]
    assert client.get(f"/payments/currencies/{currency_id}").json == {"id": currency_id, "acronym": "PTS"}


# The ids are in tills: they can never change.
@pytest.mark.parametrize(
    ("acronym", "decimals", "currency_id"),
    [
        ("JPY", "0", "01950000-0000-7000-8000-4217004a5059"),
        ("KWD", "3", "01950000-0000-7000-8000-4217004b5744"),
        ("CLF", "4", "01950000-0000-7000-8000-421700434c46"),
    ],
)
def test_iso_4217_says_the_decimals_of_a_currency(run, acronym, decimals, currency_id):
    assert run("currencies", "add", acronym, "--decimals", "5").exit_code == 1
    assert run("currencies", "add", acronym).output == f"{currency_id}\n"
    assert run("currencies", "list").output.splitlines()[-1].split() == [currency_id, decimals, acronym]


def test_all_currencies_are_added_but_those_that_are_there(run):
    run("currencies", "add", "CHF", "--decimals", "2")
    run("currencies", "add", "JPY")
    run("currencies", "rename", "JPY", "YEN")
    added = [line.split() for line in run("currencies", "add", "--all").output.splitlines()]
    listed = [line.split() for line in run("currencies", "list").output.splitlines()]
    assert len(added) > 150
    assert len(listed) == len(added) + 6
    assert {decimals for _, decimals, _ in listed} == {"0", "2", "3", "4", "8"}
    assert not {"EUR", "CHF", "JPY", "XAU", "XXX"} & {acronym for *_, acronym in added}
    assert run("currencies", "add", "--all").output == ""
    assert run("currencies", "add", "JPY").output == "Error: JPY is there already. It was renamed to YEN.\n"


@pytest.mark.parametrize("arguments", [[], ["JPY", "--all"], ["--all", "--decimals", "2"]])
def test_one_currency_is_named_or_all(run, arguments):
    assert run("currencies", "add", *arguments).exit_code == 2


def test_a_renamed_currency_keeps_its_id(run, client):
    assert run("currencies", "rename", "EUR", "EURO").exit_code == 0
    assert client.get(f"/payments/currencies/{EUR}").json == {"id": EUR, "acronym": "EURO"}


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (["methods", "add", "Cash"], "There is a payment method with this name already."),
        (["methods", "add", " "], "A name has 1 to 64 characters and no blanks around it."),
        (["methods", "add", " Voucher"], "A name has 1 to 64 characters and no blanks around it."),
        (["methods", "add", "x" * 65], "A name has 1 to 64 characters and no blanks around it."),
        (["methods", "add", "\udcff"], "Arguments must be UTF-8 text."),
        (["methods", "rename", "Nothing", "Something"], "There is no payment method 'Nothing'."),
        (["methods", "rename", "Cash", "Credit Card"], "There is a payment method with this name already."),
        (["currencies", "add", "EUR", "--decimals", "2"], "There is a currency with this acronym already."),
        (["currencies", "add", "X" * 17, "--decimals", "2"], "An acronym has 1 to 16 characters and no blanks around"),
        (["methods", "add", "Voucher\u00a0"], "A name has 1 to 64 characters and no blanks around it."),
        (["methods", "add", "\u200bCash"], "A name has 1 to 64 characters and no blanks around it."),
        (["methods", "rename", "Cash", "Cash\r"], "A name has 1 to 64 characters and no blanks around it."),
        (["currencies", "add", "EUR\ufeff", "--decimals", "2"], "An acronym has 1 to 16 characters and no blanks"),
        (["currencies", "add", "eur", "--decimals", "2"], "An acronym is in upper case: EUR."),
        (["currencies", "add", "XAU"], "XAU has no minor unit in ISO 4217, so no amounts can be recorded in it."),
        (["currencies", "add", "XAU", "--decimals", "2"], "XAU has no minor unit in ISO 4217"),
        (["currencies", "add", "KWD", "--decimals", "2"], "KWD has 3 decimals in ISO 4217."),
        (["currencies", "add", "PTS"], "ISO 4217 has no currency PTS: say how many decimals it has"),
        (["currencies", "rename", "EUR", "Euro"], "An acronym is in upper case: EURO."),
        (["currencies", "rename", "XXX", "YYY"], "There is no currency 'XXX'."),
        (["currencies", "rename", "USD", "EUR"], "There is a currency with this acronym already."),
    ],
)
def test_an_error_is_one_line_and_changes_nothing(run, command, refusal):
    before = run(command[0], "list").output
    result = run(*command)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {refusal}")
    assert len(result.output.splitlines()) == 1
    assert run(command[0], "list").output == before


@pytest.mark.parametrize("decimals", ["19", "-1", "9" * 30])
def test_a_currency_has_0_to_18_decimals(run, decimals):
    assert run("currencies", "add", "PTS", "--decimals", decimals).exit_code == 2
    assert "PTS" not in run("currencies", "list").output


@pytest.mark.parametrize("url", ["sqlite:////dev/null/payments.db", "postgresql://till:secret@127.0.0.1:1/payments"])
def test_a_database_that_cannot_be_used_is_named_in_one_line(make_new_app, url):
    result = make_new_app(DATABASE_URL=url).test_cli_runner().invoke(args=["methods", "list"])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: the database {url.replace('till:secret@', '')} cannot be used: ")
    assert len(result.output.splitlines()) == 1
    assert "secret" not in result.output


def test_the_commands_are_those_of_the_flask_command(database_url):
    def flask(*args):
        command = [sys.executable, "-m", "flask", "--app", "wsgi", *args]
        settings = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET)
        return subprocess.run(command, cwd=PROJECT, env=settings, capture_output=True, text=True, check=True).stdout

    assert flask("currencies", "list").endswith("BTC\n")
    assert flask("token").count(".") == 2
