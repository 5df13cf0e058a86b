"""What is well and what is wrong with the box, and what to do about it."""
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import Any, NamedTuple

from . import database, store
from .engines import OTHERS, UnusableDatabase
from .errors import DATABASE_FAULTS, NotReady
from .keys import SECRET_ALGORITHM

OK, WARNING, FAULT = "ok", "warning", "fault"

# The claims that a token must have if the settings say so.
EXPECTED = {"iss": "JWT_ISSUER", "aud": "JWT_AUDIENCE"}
# Of a secret that was drawn at random, even in hexadecimal digits, hardly any has fewer.
LEAST_CHARACTERS = 10
# What the clocks of a box and of its database's server may differ by.
CLOCK_MINUTES = 5
# Where a clock begins that has lost its battery, there were no payments yet.
EARLIEST = datetime(2025, 1, 1, tzinfo=timezone.utc)
ANSWER_SECONDS = 10
# Where to call a service that listens at every address.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Finding(NamedTuple):
    """One thing that was looked at: `ok`, `warning` or `fault`, and a line that says what, and what to do."""

    level: str
    text: str


def examine(config: dict[str, Any]) -> Iterator[Finding]:
    """Look at the current application's keys, database, clock and port, one after the other."""
    yield from _keys(config)
    yield from _database()
    yield from _port(config)


def _keys(config: dict[str, Any]) -> Iterator[Finding]:
    keys = config["JWT_KEYS"]
    expected = [f", {claim} {config[name]!r}" for claim, name in EXPECTED.items() if config[name]]
    yield Finding(OK, f"access tokens: verified as {keys.algorithm} by {keys.source}{''.join(expected)}")
    if keys.algorithm != SECRET_ALGORITHM:
        return
    if min(len(set(secret)) for secret in keys.verifying) < LEAST_CHARACTERS:
        yield Finding(WARNING, "access tokens: a secret looks guessable: draw one by openssl rand -hex 32")
    if keys.file and keys.file.stat().st_mode & OTHERS:
        yield Finding(FAULT, f"access tokens: others may read the secret: chmod o= {keys.file}")


def _database() -> Iterator[Finding]:
    current = database.current
    where = f"database: {current.location}"
    try:
        current.check()
        if not current.is_there():
            yield Finding(WARNING, f"{where} is not there yet: start the service, or restore a backup")
            return
        store.health.check()
        yield Finding(OK, f"{where} is sound, up to date and takes writes")
        for weakness in current.weaknesses():
            yield Finding(WARNING, f"database: {weakness}")
        yield from _clock(store.history.latest())
    except UnusableDatabase as error:
        yield Finding(FAULT, f"{where} cannot be used: {error}: stop the service and restore a backup with --force")
    except NotReady as error:
        reason = " ".join(str(error.__cause__ or error).split())
        advice = f": {current.advice}" if error.__cause__ else ""
        yield Finding(FAULT, f"{where} cannot be used: {reason}{advice}")
    except (*DATABASE_FAULTS, OSError) as error:
        yield Finding(FAULT, f"{where} cannot be used: {' '.join(str(error).split())}: {current.advice}")


def _clock(latest: datetime | None) -> Iterator[Finding]:
    now = datetime.now(timezone.utc)
    if now < max(latest or EARLIEST, EARLIEST) - timedelta(minutes=CLOCK_MINUTES):
        yield Finding(FAULT, f"clock: {now:%Y-%m-%d %H:%M} UTC is before the last payment: timedatectl set-ntp on")
    else:
        yield Finding(OK, f"clock: {now:%Y-%m-%d %H:%M} UTC")


def _port(config: dict[str, Any]) -> Iterator[Finding]:
    host, port = EVERYWHERE.get(config["HOST"], config["HOST"]), config["PORT"]
    where = f"port: http://{host}:{port}"
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)) as connection:
            connection.request("GET", "/health/ready")
            response = connection.getresponse()
            answer = json.loads(response.read())
    except OSError as error:
        yield Finding(WARNING, f"{where} does not answer ({error}): start the service")
    except (http.client.HTTPException, ValueError):
        yield Finding(FAULT, f"{where} is answered by another program: stop it, or choose another PAYMENTS_PORT")
    else:
        if response.status == HTTPStatus.OK:
            yield Finding(OK, f"{where} answers and is ready")
        else:
            yield Finding(FAULT, f"{where} answers, but: {answer.get('message')}")
