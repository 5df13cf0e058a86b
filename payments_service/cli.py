"""The commands of `flask --app wsgi`."""
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import flask
import peewee
from flask.cli import AppGroup, with_appcontext

from . import backups, database, doctor, store
from .backups import BackupError
from .errors import PaymentsError, UnusableDatabase
from .money import MAX_DECIMALS
from .tokens.issuing import issue_token
from .web.runtime import runtime

TOKEN_LIFETIME = timedelta(hours=1)


@contextmanager
def one_line_refusals() -> Iterator[None]:
    """Turn the errors that a technician can mend into one line without a stack trace."""
    try:
        yield
    except (PaymentsError, UnusableDatabase, BackupError) as error:
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
        click.echo(issue_token(flask.current_app.config, runtime().tokens.keys, TOKEN_LIFETIME))


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


@contextmanager
def progress_bars() -> Iterator[backups.Progress]:
    """Show long work on a terminal, and nothing where errors go elsewhere; what a command prints is not touched."""
    hidden = not sys.stderr.isatty()
    begun: dict[str, Any] = {}
    with ExitStack() as bar:

        def show(what: str, done: int = 0, total: int = 0) -> None:
            if what not in begun:
                bar.close()
                begun[what] = None
                if total:
                    shown = click.progressbar(length=total, label=what, file=sys.stderr, hidden=hidden)
                    begun[what] = bar.enter_context(shown)
                elif not hidden:
                    click.echo(f"{what} ...", err=True)
            if begun[what]:
                begun[what].update(done - begun[what].pos)

        yield show


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--keep", type=click.IntRange(1), help="Keep only so many backups in the folder, the newest.")
@with_appcontext
def backup(directory: Path, keep: int | None) -> None:
    """Write a backup into DIRECTORY and print its path.

    The service may run. The folder is made if need be.
    """
    with one_line_refusals(), progress_bars() as progress:
        path = backups.back_up(directory, keep, progress)
    click.echo(path)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a database that holds payments, or that is damaged.")
@with_appcontext
def restore(file: Path, force: bool) -> None:
    """Put the backup FILE in the place of the database, and bring it up to date.

    The service has to be stopped. The old database is kept, and its path printed.
    """
    with one_line_refusals():
        with progress_bars() as progress:
            kept = backups.restore(file, force, progress)
        if kept:
            click.echo(f"The old database is kept in {kept}.")
        database.migrate()
        click.echo(f"{file} is restored; payments: {store.payments.count()}.")


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
    type=click.IntRange(0, MAX_DECIMALS),
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


COMMANDS = [token, migrate, examine, backup, restore, methods, currencies]
