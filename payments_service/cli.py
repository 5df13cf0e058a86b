"""The commands of `flask --app wsgi`."""
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import click
import flask
import peewee
from flask.cli import AppGroup, with_appcontext

from . import access, database, doctor, store
from .engines import UnusableDatabase
from .errors import PaymentsError
from .money import MOST_DECIMALS

TOKEN_LIFETIME = timedelta(hours=1)


@contextmanager
def one_line_refusals() -> Iterator[None]:
    """Turn the errors that a technician can mend into one line without a stack trace."""
    try:
        yield
    except (PaymentsError, UnusableDatabase) as error:
        raise click.ClickException(str(error)) from error
    except peewee.PeeweeException as error:
        raise click.ClickException(f"The database failed: {error}") from error
    except UnicodeEncodeError as error:
        raise click.ClickException("What is given has to be UTF-8 text.") from error


class Group(AppGroup):
    """Commands with refusals on one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        with one_line_refusals():
            return super().invoke(ctx)


@click.command()
@with_appcontext
def token() -> None:
    """Print an access token with all permissions, good for an hour."""
    with one_line_refusals():
        click.echo(access.issue_token(flask.current_app.config, TOKEN_LIFETIME))


@click.command()
@with_appcontext
def migrate() -> None:
    """Bring the database up to date."""
    with one_line_refusals():
        for name in database.migrate():
            click.echo(f"Took {name}.")
    click.echo("The database is up to date.")


@click.command("doctor")
@with_appcontext
def examine() -> None:
    """Look at keys, database, clock and port, and say what is wrong and what to do; exits with 1 for a fault."""
    with one_line_refusals():
        findings = list(doctor.examine(flask.current_app.config))
    for finding in findings:
        click.echo(f"{finding.level:<8}{finding.text}")
    if any(finding.level == doctor.FAULT for finding in findings):
        sys.exit(1)


@click.group(cls=Group)
@with_appcontext
def methods() -> None:
    """List, add and rename payment methods."""
    database.migrate()


@methods.command("list")
def list_methods() -> None:
    """Print the id and name of every payment method."""
    for method in store.methods.list_all():
        click.echo(f"{method['id']}  {method['name']}")


@methods.command("add")
@click.argument("name")
def add_method(name: str) -> None:
    """Add a payment method and print its id."""
    click.echo(store.methods.add(name))


@methods.command("rename")
@click.argument("name")
@click.argument("new_name")
def rename_method(name: str, new_name: str) -> None:
    """Give a payment method another name; its payments stay with it."""
    store.methods.rename(name, new_name)


@click.group(cls=Group)
@with_appcontext
def currencies() -> None:
    """List, add and rename currencies."""
    database.migrate()


@currencies.command("list")
def list_currencies() -> None:
    """Print the id, decimals and acronym of every currency."""
    for currency in store.currencies.list_all():
        click.echo(f"{currency['id']}  {currency['decimals']:>2}  {currency['acronym']}")


@currencies.command("add")
@click.argument("acronym")
@click.option(
    "--decimals",
    type=click.IntRange(0, MOST_DECIMALS),
    required=True,
    help="0 for JPY, 2 for EUR, 8 for BTC; it stays for good.",
)
def add_currency(acronym: str, decimals: int) -> None:
    """Add a currency and print its id."""
    click.echo(store.currencies.add(acronym, decimals))


@currencies.command("rename")
@click.argument("acronym")
@click.argument("new_acronym")
def rename_currency(acronym: str, new_acronym: str) -> None:
    """Give a currency another acronym; its payments stay with it."""
    store.currencies.rename(acronym, new_acronym)


def init_app(app: flask.Flask) -> None:
    """Give `app` the commands."""
    for command in (token, migrate, examine, methods, currencies):
        app.cli.add_command(command)
