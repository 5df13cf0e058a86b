"""The commands of `flask --app wsgi`."""
import codecs
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import click
import flask
import peewee
from flask.cli import AppGroup, with_appcontext

from . import backups, database, doctor, seals, store
from .backups import BackupError
from .errors import PaymentsError, UnusableDatabase, UnusableFile
from .money import MAX_DECIMALS
from .settings import parse_database_url
from .store.history import Caller
from .tokens.claims import MAX_USER_LENGTH, is_valid_user
from .tokens.issuing import issue_token
from .tokens.permissions import Permission
from .transfer import ambrosia, copying, csv_reading, exporting, importing
from .transfer.importing import Import
from .transfer.report import Report
from .web.runtime import find_settler, runtime

MAX_TOKEN_HOURS = 366 * 24
# More faults of the same cause say nothing new.
MAX_FAULTS = 20
# The others are in a file.
MAX_REFUSED_SHOWN = 1000


@contextmanager
def report_errors() -> Iterator[None]:
    """Report expected errors, such as a database that cannot be reached, in one line without a stack trace."""
    try:
        yield
    except (PaymentsError, UnusableDatabase, UnusableFile, BackupError) as error:
        raise click.ClickException(str(error)) from error
    except peewee.PeeweeException as error:
        raise click.ClickException(f"The database failed: {error}") from error
    except UnicodeEncodeError as error:
        raise click.ClickException("Arguments must be UTF-8 text.") from error


class Group(AppGroup):
    """A group of commands that report errors in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command of the group."""
        with report_errors():
            return super().invoke(ctx)


def parse_user(_ctx: click.Context, _option: click.Parameter, user: str) -> str:
    """Return the user of --user; raises `BadParameter` for one that no token may name."""
    if not is_valid_user(user) or user != user.strip():
        raise click.BadParameter(f"must be 1 to {MAX_USER_LENGTH} characters without blanks around them.")
    return user


def parse_permissions(_ctx: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> list[Permission]:
    """Return the permissions of all --permissions, by default every one; raises `BadParameter` for one unknown."""
    names = ",".join(values).replace(",", " ").split()
    unknown = [name for name in names if name not in list(Permission)]
    if unknown or (values and not names):
        raise click.BadParameter(f"must be among {', '.join(Permission)}.")
    return [permission for permission in Permission if permission in names or not values]


@click.command("token")
@click.option("--user", default="technician", callback=parse_user, help="Who it is for, as the history names them.")
@click.option(
    "--permissions",
    multiple=True,
    callback=parse_permissions,
    help="What it grants, separated by commas. By default all permissions.",
)
@click.option(
    "--hours",
    type=click.IntRange(1, MAX_TOKEN_HOURS),
    default=1,
    show_default=True,
    help="How long it is valid. It cannot be revoked.",
)
@with_appcontext
def print_token(user: str, permissions: list[Permission], hours: int) -> None:
    """Print an access token, by default one with all permissions."""
    with report_errors():
        source = runtime().tokens.source
        click.echo(issue_token(flask.current_app.config, source, user, permissions, timedelta(hours=hours)))


@click.command()
@with_appcontext
def migrate() -> None:
    """Bring the database up to date. A SQLite file that does not exist is created."""
    with report_errors():
        for name in database.migrate():
            click.echo(f"Applied {name}.")
    click.echo("The database is up to date.")


@click.command("doctor")
@with_appcontext
def run_doctor() -> None:
    """Check keys, database, clock, business day and port, and say how to fix what is wrong.

    Exits with 1 if there is a fault.
    """
    with report_errors():
        findings = list(doctor.examine(flask.current_app.config))
    for finding in findings:
        click.echo(f"{finding.level:<8}{finding.text}")
    if any(finding.level == doctor.FAULT for finding in findings):
        sys.exit(1)


@contextmanager
def show_progress() -> Iterator[backups.Progress]:
    """Show the progress of long work on stderr if it is a terminal. Nothing goes to stdout."""
    hidden = not sys.stderr.isatty()
    # The progress bar of each step that has begun, None for a step of unknown length.
    bars: dict[str, Any] = {}
    with ExitStack() as open_bar:

        def show(step: str, done: int = 0, total: int = 0) -> None:
            if step not in bars:
                open_bar.close()
                bars[step] = None
                if total:
                    bar = click.progressbar(length=total, label=step, file=sys.stderr, hidden=hidden)
                    bars[step] = open_bar.enter_context(bar)
                elif not hidden:
                    click.echo(f"{step} ...", err=True)
            if bars[step]:
                bars[step].update(done - bars[step].pos)

        yield show


@click.command("backup")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--keep", type=click.IntRange(1), help="Keep only this many backups in DIRECTORY, the newest ones.")
@with_appcontext
def back_up(directory: Path, keep: int | None) -> None:
    """Write a backup into DIRECTORY and print its path.

    The service may be running. DIRECTORY is created if it does not exist.
    """
    with report_errors(), show_progress() as progress:
        path = backups.back_up(directory, keep, progress)
    click.echo(path)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a database that holds payments or is damaged.")
@with_appcontext
def restore(file: Path, force: bool) -> None:
    """Replace the database with the backup FILE, and migrate it.

    Stop the service first. The old database is kept, and its path is printed.
    """
    with report_errors():
        with show_progress() as progress:
            kept = backups.restore(file, force, progress)
        if kept:
            click.echo(f"The old database is kept in {kept}.")
        database.migrate()
        click.echo(f"{file} is restored; payments: {store.payments.count()}.")


@click.command("copy-to")
@click.argument("url")
@with_appcontext
def copy_database(url: str) -> None:
    """Copy the SQLite database to the empty PostgreSQL database URL, and compare every row.

    Stop the service first. The SQLite file stays as it is. Then set PAYMENTS_DATABASE_URL to URL.
    """
    try:
        target = parse_database_url(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="URL") from error
    with report_errors(), show_progress() as progress:
        counts = copying.copy_to(target, progress)
    for name, count in counts.items():
        click.echo(f"{name:<16}{count:>10}")
    click.echo("Every row is copied and compared. Set PAYMENTS_DATABASE_URL to the new database and start the service.")


@click.command("close")
@click.option("--number", type=click.IntRange(1), help="Close only if this is the number of the next closing.")
@with_appcontext
def close(number: int | None) -> None:
    """Close everything since the last closing, without a count, and print the closing's number and hash.

    The service may be running.
    """
    with report_errors():
        database.migrate(create=False)
        closed = store.closings.add(number=number, caller=Caller(None, "close"))
        click.echo(f"{closed} {store.closings.get(closed)['hash']}")


@click.command("settle")
@with_appcontext
def settle() -> None:
    """Ask the Lightning node once about each invoice that may be paid, and print how many payments were recorded.

    The service, which does this by itself, may be running. Exits with 1 if the node fails.
    """
    with report_errors():
        require_migrated()
        recorded, fault = find_settler().run_round(is_whole=True)
    click.echo(f"Payments recorded: {recorded}.")
    if fault:
        raise click.ClickException(fault.reason)


@click.command("archive")
@click.argument("directory", type=click.Path(path_type=Path))
@with_appcontext
def write_archives(directory: Path) -> None:
    """Write the sealed files of closings that DIRECTORY lacks, and print their paths.

    The service may be running. DIRECTORY is created if it does not exist. A file that is there is never replaced: if it
    is not its closing's, the exit code is 1.
    """
    with report_errors():
        require_migrated()
        try:
            with show_progress() as progress:
                written, faults = seals.write_missing(directory, progress)
        except OSError as error:
            raise click.ClickException(f"{directory} cannot be written: {error.strerror}") from error
    for path in written:
        click.echo(path)
    report_faults(iter(faults))


def require_migrated() -> None:
    """Raise `UnusableDatabase` for a database that is missing, damaged or not up to date. Nothing is changed."""
    database.current.check()
    if not database.current.exists():
        raise UnusableDatabase(f"the database {database.current.location} is missing")
    if pending := database.pending_migrations():
        raise UnusableDatabase(f"the database is not up to date, {', '.join(pending)} is missing: run migrate")


def find_trigger_faults() -> Iterator[str]:
    """Yield the triggers without which rows can be altered."""
    for name in database.find_changed_triggers():
        yield f"the trigger {name} is missing or was changed, so that rows can be altered"


def report_faults(faults: Iterator[str]) -> None:
    """Print the first faults, each on a line; exit with 1 if there are any."""
    count = 0
    for count, fault in enumerate(faults, 1):
        if count > MAX_FAULTS:
            click.echo(f"There is more that is wrong: these are the first {MAX_FAULTS}.", err=True)
            break
        click.echo(f"wrong: {fault}", err=True)
    if count:
        sys.exit(1)


@click.command("verify")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@with_appcontext
def verify(files: tuple[Path, ...]) -> None:
    """Check that nothing was altered since it was sealed. Exits with 1 and names what was.

    Without FILES, the whole database: the archive of every closing is built again, and the history is replayed. The
    service may be running. With FILES, these archives alone, without the database: their hashes are printed.
    """
    with report_errors():
        if files:
            verify_files(files)
            return
        require_migrated()
        with show_progress() as progress:
            report_faults(itertools.chain(store.verifying.find_faults(progress), find_trigger_faults()))
        closings = store.closings.list_hashes()
    last = next(reversed(closings.items()), None)
    click.echo("Nothing is closed yet." if last is None else f"Nothing was altered. Closing {last[0]}: {last[1]}")


def verify_files(files: tuple[Path, ...]) -> None:
    """Print the hash of each archive, as sha256sum does; exit with 1 and say what is wrong if anything is."""
    found, faults = [], []
    for path in files:
        try:
            found.append(seals.check_file(path))
        except seals.WrongArchive as error:
            faults.append(str(error))
        else:
            click.echo(f"{found[-1].hash}  {path}")
    report_faults(itertools.chain(faults, seals.find_chain_faults(found)))


@click.group(cls=Group)
@with_appcontext
def methods() -> None:
    """List, add and rename payment methods."""
    database.migrate(create=False)


@methods.command("list")
def list_methods() -> None:
    """Print the id and name of every payment method."""
    for method in store.methods.list_all():
        click.echo(f"{method['id']}  {method['name']}")


@methods.command("add")
@click.argument("name")
@click.option("--cash", is_flag=True, help="Its money is in a drawer that is counted. It cannot be changed later.")
def add_method(name: str, cash: bool) -> None:
    """Add a payment method and print its id."""
    click.echo(store.methods.add(name, cash))


@methods.command("rename")
@click.argument("name")
@click.argument("new_name")
def rename_method(name: str, new_name: str) -> None:
    """Rename a payment method. It keeps its id and its payments."""
    store.methods.rename(name, new_name)


@click.group(cls=Group)
@with_appcontext
def currencies() -> None:
    """List, add and rename currencies."""
    database.migrate(create=False)


@currencies.command("list")
def list_currencies() -> None:
    """Print the id, decimals and acronym of every currency."""
    for currency in store.currencies.list_all():
        show_currency(currency)


def show_currency(currency: dict[str, Any]) -> None:
    """Print the id, decimals and acronym of a currency."""
    click.echo(f"{currency['id']}  {currency['decimals']:>2}  {currency['acronym']}")


@currencies.command("add")
@click.argument("acronym", required=False)
@click.option(
    "--decimals",
    type=click.IntRange(0, MAX_DECIMALS),
    help="Only for a currency that ISO 4217 does not have. It cannot be changed later.",
)
@click.option("--all", "add_all", is_flag=True, help="Add every currency of ISO 4217 that is not there yet.")
def add_currency(acronym: str | None, decimals: int | None, add_all: bool) -> None:
    """Add a currency and print its id. ISO 4217 says how many decimals it has."""
    if (acronym is None) != add_all or (add_all and decimals is not None):
        raise click.UsageError("Name one currency, or use --all alone.")
    if acronym is not None:
        click.echo(store.currencies.add(acronym, decimals))
        return
    for currency in store.currencies.add_known():
        show_currency(currency)


@currencies.command("rename")
@click.argument("acronym")
@click.argument("new_acronym")
def rename_currency(acronym: str, new_acronym: str) -> None:
    """Rename a currency. It keeps its id and its payments."""
    store.currencies.rename(acronym, new_acronym)


@click.group("import", cls=Group)
def import_group() -> None:
    """Record what another system has recorded."""


DRY_RUN = click.option("--dry-run", is_flag=True, help="Check and report, and record nothing. The service may run.")
LIST = click.option(
    "--list",
    "list_file",
    type=click.Path(path_type=Path),
    help="The file to list each row in that is mapped, assumed or refused. By default import-TIME.csv in this folder.",
)


@import_group.command("ambrosia")
@click.argument("file", type=click.Path(path_type=Path))
@DRY_RUN
@LIST
def import_ambrosia(file: Path, dry_run: bool, list_file: Path | None) -> None:
    """Record the methods, currencies, payments and tickets of FILE, the database of an Ambrosia point of sale.

    Stop this service first; that one may be running. Exits with 1 if a row was refused; all others are recorded. What
    is there already is left as it is.
    """
    run_import(lambda this_import: ambrosia.read(file, this_import), "row", dry_run, list_file)


def parse_headings(_ctx: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return the headings of all --map by column; raises `BadParameter` for one that names no column."""
    headings = {}
    for value in values:
        column, _, heading = (part.strip() for part in value.partition("="))
        if column not in csv_reading.COLUMNS or not heading:
            raise click.BadParameter(f"must be COLUMN=HEADING, with a column among {', '.join(csv_reading.COLUMNS)}.")
        headings[column] = heading
    return headings


def parse_encoding(_ctx: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """Return an encoding; raises `BadParameter` for one that Python does not know."""
    try:
        return name and codecs.lookup(name).name
    except LookupError:
        raise click.BadParameter("must be an encoding such as cp1252, utf-8 or utf-16.") from None


def parse_delimiter(_ctx: click.Context, _option: click.Parameter, delimiter: str | None) -> str | None:
    """Return a delimiter, also a tab by its name; raises `BadParameter` for more than a character."""
    delimiter = "\t" if delimiter in ("tab", "\\t") else delimiter
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise click.BadParameter("must be one character, or tab.")
    return delimiter


@import_group.command("csv")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--map", "headings", multiple=True, callback=parse_headings, help="COLUMN=HEADING, where they differ.")
@click.option("--currency", help="The currency of all lines, if the file does not say it.")
@click.option("--decimal-comma", is_flag=True, help="Amounts are written as 1.234,50.")
@click.option(
    "--dates",
    type=click.Choice(["iso", "dmy", "mdy"]),
    default="iso",
    show_default=True,
    help="The order of day and month in dates such as 31.12.2025. 2025-12-31 is always understood.",
)
@click.option("--delimiter", callback=parse_delimiter, help="What is between cells, or tab. By default found out.")
@click.option("--encoding", callback=parse_encoding, help="By default UTF-8, or UTF-16 where the file begins as such.")
@DRY_RUN
@LIST
def import_csv(file: Path, dry_run: bool, list_file: Path | None, **layout: Any) -> None:
    """Record the payments of FILE, a table with headings.

    The columns are time, amount, currency, method, and if there are any id, tip, transaction_id, ticket, share, user,
    refund_of and reason. Stop the service first. Exits with 1 if a line was refused; all others are recorded. What is
    there already is left as it is.
    """
    how = csv_reading.Layout(**layout)
    time_zone = flask.current_app.config["TIME_ZONE"] or timezone.utc
    run_import(lambda this_import: csv_reading.read(file, how, time_zone, this_import), "line", dry_run, list_file)


@click.group("export", cls=Group)
def export_group() -> None:
    """Write what is recorded for other systems."""


@export_group.command("csv")
@click.argument("file", type=click.Path(path_type=Path), required=False)
def export_csv(file: Path | None) -> None:
    """Write every payment with its tickets and refunds to FILE, or without FILE to stdout.

    The service may be running. FILE must not exist. The columns are those of import csv.
    """
    require_migrated()
    try:
        with open_export(file) as text, show_progress() as progress:
            exporting.write(text, progress)
    except OSError as error:
        raise click.ClickException(f"{file or 'stdout'} cannot be written: {error.strerror}") from error


@contextmanager
def open_export(file: Path | None) -> Iterator[TextIO]:
    """Create a file that only its owner may read, or take stdout. A file that is not complete is deleted."""
    if file is None:
        stdout = TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
        yield stdout
        # In place of closing it, which would close stdout.
        stdout.detach()
        return
    with file.open("x", encoding="utf-8", newline="") as text:
        try:
            file.chmod(0o600)
            yield text
            text.flush()
        except BaseException:
            file.unlink()
            raise


def run_import(read: Callable[[Import], None], unit: str, dry_run: bool, list_file: Path | None) -> None:
    """Import, and print the report; exit with 1 if a row was refused."""
    if not dry_run:
        importing.require_stopped_service()
    require_migrated()
    path = list_file or Path(f"import-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.csv")

    def list_refused() -> None:
        for line in report.list_refused(MAX_REFUSED_SHOWN):
            click.echo(line)

    with Report(path, unit) as report:
        with show_progress() as progress:
            importing.run(read, report, dry_run, progress, list_refused)
        for line in report.show():
            click.echo(line)
    if dry_run:
        click.echo("Nothing was recorded: this was a dry run.")
    if report.refusals:
        sys.exit(1)


COMMANDS = [
    print_token, migrate, run_doctor, back_up, restore, copy_database, close, settle, write_archives, verify, methods,
    currencies, import_group, export_group,
]
