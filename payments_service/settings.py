"""The settings, read from the environment and validated."""
import ipaddress
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import flask

from .errors import SettingError

PREFIX = "PAYMENTS_"
PROJECT = Path(__file__).resolve().parent.parent
# An origin as browsers serialize it: in lower case, without the scheme's default port (RFC 6454, section 6.2).
WEB_ORIGIN = r"(?!http:.*:80$|https:.*:443$)https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?"
# The origin of an app's own pages, whose scheme the app makes up: capacitor://localhost, app://. or app://. Web pages
# have none of these schemes; those that begin with ht are misspelled.
APP_ORIGIN = r"(?!(ht[a-z]*|ftps?|wss?|file|data|blob|about):)[a-z][a-z0-9+.-]*://[A-Za-z0-9._-]*(:[0-9]{1,5})?"
ORIGIN = re.compile(f"{WEB_ORIGIN}|{APP_ORIGIN}")
# Also Heroku's short scheme, and SQLAlchemy's with the name of a driver.
# The latest end of a business day is 11:59: later it would be the day itself.
DAY_ENDS = re.compile("(0[0-9]|1[01]):[0-5][0-9]")
POSTGRESQL_SCHEME = re.compile(r"postgres(ql)?(\+[a-z0-9_]+)?://")

logger = logging.getLogger(__name__)


def _parse_text(raw: Any) -> str:
    if not isinstance(raw, str) or not _is_utf8(raw):
        raise ValueError("must be UTF-8 text")
    return raw


def _is_utf8(text: str) -> bool:
    """Return whether a text can be encoded. Bytes of the environment that are not UTF-8 become lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer_parser(minimum: int, maximum: int) -> Callable[[Any], int]:
    def parse(raw: Any) -> int:
        text = str(raw).strip()
        if not (text.isascii() and text.isdigit() and minimum <= int(text) <= maximum):
            raise ValueError(f"must be a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def parse_database_url(raw: Any) -> str:
    """Return the URL of a database, with the full path of a SQLite file; raises ValueError."""
    url = str(raw).strip()
    path = url.removeprefix("sqlite:///")
    if path not in (url, "", ":memory:") and "\0" not in path:
        # Links are followed once, here: SQLite keeps its -wal file beside the file that a link leads to.
        real_path = os.path.realpath(PROJECT / path)
        if real_path.isprintable():
            return f"sqlite:///{real_path}"
    url = POSTGRESQL_SCHEME.sub("postgresql://", url, count=1)
    if url.startswith("postgresql://") and _is_valid_postgresql_url(url):
        return url
    raise ValueError(
        "must be a SQLite file, such as sqlite:///instance/payments.db or sqlite:////var/lib/payments.db, or a "
        "PostgreSQL database, such as postgresql://user:password@host:port/name, with special characters "
        "percent-encoded"
    )


def _is_valid_postgresql_url(url: str) -> bool:
    """Return whether a URL names a database, and has no part of its password in the host, port or database name.

    Those are logged. An unencoded @, / or = in a password moves parts of it into them.
    """
    # Imported here, because a service on SQLite does without psycopg: see wsgi.py.
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parameters = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False
    logged = "".join(str(parameters.get(name, "")) for name in ("host", "port", "dbname"))
    return bool(parameters.get("dbname")) and logged.isprintable() and not set("@=") & set(logged)


def _parse_role_permissions(raw: Any) -> dict[str, list[str]]:
    expected = 'must be JSON such as {"cashier": ["payments_read", "payments_create"]}'
    try:
        roles = json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        raise ValueError(expected) from None
    if not isinstance(roles, Mapping):
        raise ValueError(expected)
    for permissions in roles.values():
        if not isinstance(permissions, list) or not all(isinstance(name, str) for name in permissions):
            raise ValueError(expected)
    return dict(roles)


def _parse_origins(raw: Any) -> frozenset[str]:
    origins = frozenset(origin.strip() for origin in str(raw).split(","))
    if not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError(
            "must be a comma-separated list of origins, such as https://office.example:8443 or capacitor://localhost"
        )
    return origins


def _parse_list(raw: Any) -> tuple[str, ...]:
    values = tuple(value.strip() for value in _parse_text(raw).split(","))
    if not all(values):
        raise ValueError("must be one value, or several separated by commas")
    return values


def _parse_claim_name(raw: Any) -> str:
    name = _parse_text(raw).strip()
    if not all(name.split(".")):
        raise ValueError("must be the name of a claim, such as permissions or realm_access.roles")
    return name


def _parse_required_claim(raw: Any) -> tuple[str, str]:
    name, _, value = (part.strip() for part in _parse_text(raw).partition("="))
    if not value or not all(name.split(".")):
        raise ValueError("must be a claim and its value, such as token_use=access")
    return name, value


def _url_parser(example: str, local_example: str) -> Callable[[Any], str]:
    def parse(raw: Any) -> str:
        url = _parse_text(raw).strip()
        if not url.isprintable() or " " in url or not _is_confidential(url):
            raise ValueError(
                f"must be an https URL such as {example}, or an http URL of this machine such as {local_example}, "
                "without a user name and without #"
            )
        return url

    return parse


def _is_confidential(url: str) -> bool:
    """Return whether nobody on the network can change what a URL responds: by TLS, or because it is local."""
    try:
        parts = urlsplit(url)
        # Reading the port validates it.
        if not parts.hostname or parts.port == 0 or "@" in parts.netloc or "#" in url:
            return False
        if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname == "localhost"):
            return True
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return False


def _parse_network(raw: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(str(raw).strip())
    except ValueError:
        expected = "must be the IP address of a proxy or its network, such as 127.0.0.1 or 172.16.0.0/12"
        raise ValueError(expected) from None


def _parse_time_zone(raw: Any) -> ZoneInfo:
    try:
        return ZoneInfo(_parse_text(raw).strip())
    except (KeyError, ValueError, OSError):
        raise ValueError("must be a time zone of the IANA database, such as Europe/Berlin or UTC") from None


def _parse_day_ends(raw: Any) -> time:
    text = str(raw).strip()
    if not DAY_ENDS.fullmatch(text):
        raise ValueError("must be a time from 00:00 to 11:59, such as 04:00")
    return time.fromisoformat(text)


def _choice_parser(*choices: str) -> Callable[[Any], str]:
    def parse(raw: Any) -> str:
        if raw not in choices:
            raise ValueError(f"must be {', '.join(choices[:-1])} or {choices[-1]}")
        return str(raw)

    return parse


def join_host_and_port(host: str, port: int | str) -> str:
    """Return a host and a port as in a URL: with brackets around an IPv6 address (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# Each setting by its name without the prefix: its parser, which raises ValueError, and its default.
SETTINGS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "HOST": (_parse_text, "127.0.0.1"),
    "PORT": (_integer_parser(0, 65535), 9154),
    "THREADS": (_integer_parser(1, 256), 8),
    "DATABASE_URL": (parse_database_url, parse_database_url("sqlite:///instance/payments.db")),
    "IDEMPOTENCY_DAYS": (_integer_parser(1, 365), 7),
    # When a business day ends: in this zone, at this time of the next morning.
    "TIME_ZONE": (_parse_time_zone, None),
    "DAY_ENDS": (_parse_day_ends, time(0)),
    "JWT_SECRET": (_parse_text, None),
    "JWT_SECRET_FILE": (_parse_text, None),
    "JWT_PUBLIC_KEY_FILE": (_parse_text, None),
    "JWT_JWKS_URL": (_url_parser("https://sign-in.example/jwks.json", "http://127.0.0.1:8080/jwks.json"), None),
    "JWT_ALGORITHM": (_choice_parser("HS256", "RS256", "ES256", "EdDSA"), None),
    "JWT_ISSUER": (_parse_text, None),
    "JWT_AUDIENCE": (_parse_list, None),
    # In seconds. Limited, because a long leeway would disable the expiry of tokens.
    "JWT_LEEWAY": (_integer_parser(0, 300), 10),
    "JWT_REQUIRED_CLAIM": (_parse_required_claim, None),
    "JWT_PERMISSIONS_CLAIM": (_parse_claim_name, "permissions"),
    "JWT_ROLE_CLAIM": (_parse_claim_name, "role"),
    "ROLE_PERMISSIONS": (_parse_role_permissions, {}),
    "TRUSTED_ORIGINS": (_parse_origins, frozenset()),
    "TRUSTED_PROXY": (_parse_network, None),
    # The Lightning node, its URL unless it is the node's default, and its key.
    "LIGHTNING": (_choice_parser("lnbits", "phoenixd"), None),
    "LIGHTNING_URL": (_url_parser("https://lnbits.example", "http://127.0.0.1:5000"), None),
    "LIGHTNING_KEY": (_parse_text, None),
    "LIGHTNING_KEY_FILE": (_parse_text, None),
    # How long an invoice is offered. A minute is what a guest needs at least.
    "LIGHTNING_SECONDS": (_integer_parser(60, 86_400), 600),
    "LOG_FORMAT": (_choice_parser("logfmt", "json"), "logfmt"),
}


def read_settings(given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return all settings by their names without `PAYMENTS_`, parsed, with defaults for those that are not set.

    `given` uses the same names. Without it, the settings come from the environment. A blank value counts as not set.

    Raises `SettingError` for an invalid value.
    """
    if given is None:
        environment = flask.Config(PROJECT)
        # By default Flask reads values as JSON, which would turn a secret of digits into a number.
        environment.from_prefixed_env(PREFIX.rstrip("_"), loads=str)
        given = environment
    for name in sorted(given.keys() - SETTINGS.keys()):
        logger.warning("%s%s is not a known setting and is ignored", PREFIX, name)

    settings = {}
    for name, (parse, default) in SETTINGS.items():
        raw = given.get(name)
        if raw is None or not str(raw).strip():
            settings[name] = default
            continue
        try:
            settings[name] = parse(raw)
        except ValueError as error:
            raise SettingError(f"{PREFIX}{name} {error}") from None
    return settings
