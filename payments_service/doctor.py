"""Diagnoses the installation: what is wrong, and how to fix it."""
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any, NamedTuple

from . import database, store
from .database import DATABASE_FAULTS
from .database.sqlite import OTHERS_MODE
from .errors import BackendFault, DamagedDatabase, NotReady, SettingError, UnusableDatabase
from .lightning import Backend
from .models import TABLES
from .settings import PROJECT, join_host_and_port
from .tokens.key_formats import SECRET_ALGORITHM, find_doubts
from .tokens.keys import KeyFile
from .web.runtime import runtime

OK, WARNING, FAULT = "ok", "warning", "fault"

# A random secret of 32 bytes, even in hexadecimal digits, hardly ever has fewer distinct characters.
MIN_DISTINCT_CHARACTERS = 10
RESPONSE_TIMEOUT_SECONDS = 10
# Verifying them takes about a second for 20,000 payments.
NEWEST_CLOSINGS = 3
# Each is a call of the node.
MAX_INVOICES_ASKED = 20
# A service that listens on all addresses is reached at the loopback address.
LOOPBACK_OF_WILDCARD = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


class Finding(NamedTuple):
    """The result of one check: its level (`ok`, `warning` or `fault`), and one line with the result and the fix."""

    level: str
    text: str


def examine(config: dict[str, Any]) -> Iterator[Finding]:
    """Check the keys, database, clock, Lightning node, business day and port of the current application."""
    yield from check_keys(config)
    yield from check_database()
    yield from check_lightning(config)
    yield from check_business_day(config)
    yield from check_port(config)


def check_keys(config: dict[str, Any]) -> Iterator[Finding]:
    """Check that there are keys, that a secret is hard to guess, and that its file is private."""
    source = runtime().tokens.source
    try:
        keys = source.load()
    except SettingError as error:
        yield Finding(FAULT, f"access tokens: {error}")
        return
    algorithms = ", ".join(sorted({key.algorithm for key in keys}))
    yield Finding(OK, f"access tokens: verified with {algorithms} and {source.name}{_describe_required_claims(config)}")
    secrets = [key.material for key in keys if key.algorithm == SECRET_ALGORITHM]
    if secrets and min(len(set(secret)) for secret in secrets) < MIN_DISTINCT_CHARACTERS:
        yield Finding(WARNING, "access tokens: a secret looks guessable: make a new one with openssl rand -hex 32")
    for doubt in find_doubts(keys):
        yield Finding(WARNING, f"access tokens: {doubt}: remove it if the sign-in service uses the secret without it")
    if secrets and isinstance(source, KeyFile) and source.path.stat().st_mode & OTHERS_MODE:
        yield Finding(FAULT, f"access tokens: all users can read the secret: chmod o= {source.path}")


def _describe_required_claims(config: dict[str, Any]) -> str:
    """Return the claims that tokens must have, and their values, each after a comma."""
    required = []
    if config["JWT_ISSUER"]:
        required.append(f"iss {config['JWT_ISSUER']!r}")
    if config["JWT_AUDIENCE"]:
        required.append(f"aud {' or '.join(map(repr, config['JWT_AUDIENCE']))}")
    if config["JWT_REQUIRED_CLAIM"]:
        required.append("{} {!r}".format(*config["JWT_REQUIRED_CLAIM"]))
    return "".join(f", {claim}" for claim in required)


def check_database() -> Iterator[Finding]:
    """Check that the database is intact, up to date and writable, then check the clock against it."""
    current = database.current
    where = f"database: {current.location}"
    try:
        current.check()
        if not current.exists():
            yield Finding(FAULT, f"{where} is missing: see that its disk is mounted, or create it with migrate")
            return
        store.health.check()
        yield Finding(OK, f"{where} is intact, up to date and writable")
        yield from check_triggers()
        for warning in current.find_warnings():
            yield Finding(WARNING, f"database: {warning}")
        yield from check_closings()
        yield from check_clock()
    except DamagedDatabase as error:
        yield Finding(FAULT, f"{where} cannot be used: {error}: stop the service and restore a backup with --force")
    except UnusableDatabase as error:
        yield Finding(FAULT, f"{where} cannot be used: {error}")
    except NotReady as error:
        reason = " ".join(str(error.__cause__ or error).split())
        advice = f": {current.advice}" if error.__cause__ else ""
        yield Finding(FAULT, f"{where} cannot be used: {reason}{advice}")
    except (*DATABASE_FAULTS, OSError) as error:
        yield Finding(FAULT, f"{where} cannot be used: {' '.join(str(error).split())}: {current.advice}")


def check_triggers() -> Iterator[Finding]:
    """Check that the triggers are those that the migrations make."""
    for name in database.find_changed_triggers():
        text = "is missing or was changed, so that the history can be changed: create it again, as the guide says"
        yield Finding(FAULT, f"database: trigger {name} {text}")
    for name in database.find_further_triggers(TABLES):
        yield Finding(WARNING, f"database: trigger {name} is not the service's own: it may change or drop payments")


def check_closings() -> Iterator[Finding]:
    """Check that the newest closings are as they were sealed."""
    numbers = list(store.closings.list_hashes())[-NEWEST_CLOSINGS:]
    faults = list(store.verifying.find_faults_of_newest(NEWEST_CLOSINGS))
    for fault in faults:
        yield Finding(FAULT, f"closings: {fault}: run verify, and find out who altered it")
    if numbers and not faults:
        text = f"{numbers[0]} to {numbers[-1]} are as they were sealed" if len(numbers) > 1 else "1 is as it was sealed"
        yield Finding(OK, f"closings: {text}")


def check_clock() -> Iterator[Finding]:
    """Check the clock against the moments that are stored and, on PostgreSQL, against the server's clock."""
    faults = list(store.clock.find_clock_faults())
    for fault in faults:
        yield Finding(FAULT, f"clock: {fault}: timedatectl set-ntp on")
    if not faults:
        yield Finding(OK, f"clock: {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC")


def check_lightning(config: dict[str, Any]) -> Iterator[Finding]:
    """Check that the Lightning node responds, that its key only receives, and that no invoice needs a person."""
    settler = runtime().settler
    if settler is None:
        return
    health = settler.backend.check()
    where = f"lightning: {settler.backend.name}"
    if health.fault:
        yield Finding(FAULT, f"{where} cannot be used: {health.fault}: see PAYMENTS_LIGHTNING_URL and the key")
    elif health.can_pay:
        yield Finding(FAULT, f"{where} lets the key send money: set one that can only receive, as the guide says")
    elif health.can_pay is None:
        yield Finding(WARNING, f"{where} responds, but does not say whether the key can send money")
    else:
        yield Finding(OK, f"{where} responds, and the key can only receive")
    file = config["LIGHTNING_KEY_FILE"]
    if file and (PROJECT / file).stat().st_mode & OTHERS_MODE:
        yield Finding(FAULT, f"lightning: all users can read the key: chmod o= {PROJECT / file}")
    try:
        yield from check_invoices(settler.backend, asks=not health.fault)
    except (*DATABASE_FAULTS, OSError):
        # The check of the database has said so.
        return


def check_invoices(backend: Backend, asks: bool) -> Iterator[Finding]:
    """Check that nothing less than asked has arrived and, if `asks`, that the node knows the watched invoices."""
    for short in store.lightning_invoices.list_short():
        arrived = f"{short.received_msat} of {short.amount_sat}000 msat arrived for invoice {short.id}"
        advice = f"settle it with the guest, and record a payment with the transaction_id {short.payment_hash}"
        yield Finding(FAULT, f"lightning: {arrived}, and no payment was recorded: {advice}")
    try:
        watched = store.lightning_invoices.list_watched()[-MAX_INVOICES_ASKED:] if asks else []
        unknown = [str(invoice.id) for invoice in watched if backend.look(invoice.payment_hash) is None]
    except BackendFault as fault:
        yield Finding(WARNING, f"lightning: {fault.reason}")
        return
    if unknown:
        text = f"{unknown[0]}{f' and {len(unknown) - 1} more' if unknown[1:] else ''}"
        advice = "was it restored from a backup, or is it another wallet? See whether they were paid"
        yield Finding(WARNING, f"lightning: the node does not know invoice {text}, or cannot tell now: {advice}")


def check_business_day(config: dict[str, Any]) -> Iterator[Finding]:
    """Check that the time zone of the business day is set, and say which business day it is."""
    ends = f"{config['DAY_ENDS']:%H:%M}"
    if config["TIME_ZONE"] is None:
        yield Finding(WARNING, f"business day: it ends at {ends} UTC: set PAYMENTS_TIME_ZONE, if only to UTC")
    else:
        yield Finding(OK, f"business day: {store.business_days.today()}; it ends at {ends} in {config['TIME_ZONE']}")


def check_port(config: dict[str, Any]) -> Iterator[Finding]:
    """Check that this service responds on its port, and is ready."""
    host, port = LOOPBACK_OF_WILDCARD.get(config["HOST"], config["HOST"]), config["PORT"]
    where = f"port: http://{join_host_and_port(host, port)}"
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=RESPONSE_TIMEOUT_SECONDS)) as connection:
            connection.request("GET", "/health/ready")
            response = connection.getresponse()
            body = json.loads(response.read())
        is_ready = response.status == HTTPStatus.OK and body["status"] == "ready"
        reason = None if is_ready else body["message"]
    except OSError as error:
        yield Finding(WARNING, f"{where} does not respond ({error}): start the service")
    except (http.client.HTTPException, ValueError, LookupError, TypeError):
        yield Finding(FAULT, f"{where} is used by another program: stop it, or choose another PAYMENTS_PORT")
    else:
        if is_ready:
            yield Finding(OK, f"{where} responds and is ready")
        else:
            yield Finding(FAULT, f"{where} responds, but is not ready: {reason}")
