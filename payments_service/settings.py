"""The settings: where they are read and checked."""
import ipaddress
import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flask
import psycopg
from psycopg.conninfo import conninfo_to_dict

PREFIX = "PAYMENTS_"
PROJECT = Path(__file__).resolve().parent.parent
# In lower case and without the port that is the scheme's own (RFC 6454, section 6.2).
ORIGIN = re.compile(r"(?!http:.*:80$|https:.*:443$)https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")

logger = logging.getLogger(__name__)


class SettingError(Exception):
    """A setting has a value that the service refuses; the text is one line that names the variable."""


def _text(raw: Any) -> str:
    try:
        raw.encode()
    except (AttributeError, UnicodeEncodeError):
        raise ValueError("must be UTF-8 text") from None
    return raw


def _whole_number(smallest: int, largest: int) -> Callable[[Any], int]:
    def read(raw: Any) -> int:
        text = str(raw).strip()
        if not (text.isascii() and text.isdigit() and smallest <= int(text) <= largest):
            raise ValueError(f"must be a whole number from {smallest} to {largest}")
        return int(text)

    return read


def _database_url(raw: Any) -> str:
    url = str(raw).strip()
    path = url.removeprefix("sqlite:///")
    if path not in (url, "", ":memory:") and path.isprintable():
        return f"sqlite:///{PROJECT / path}"
    if url.startswith("postgresql://") and _is_postgresql(url):
        return url
    raise ValueError(
        "must name a file, as sqlite:///instance/payments.db or sqlite:////var/lib/payments.db, or a database, as "
        "postgresql://user:password@host:port/name with special characters percent-encoded"
    )


def _is_postgresql(url: str) -> bool:
    """Tell whether a URL names a database, and no part of a password has got into what is not secret."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False
    shown = "".join(str(parts.get(name, "")) for name in ("host", "port", "dbname"))
    return bool(parts.get("dbname")) and shown.isprintable() and not set("@=") & set(shown)


def _role_permissions(raw: Any) -> dict[str, list[str]]:
    wanted = 'must be JSON like {"cashier": ["payments_read", "payments_create"]}'
    try:
        roles = json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        raise ValueError(wanted) from None
    if not isinstance(roles, Mapping):
        raise ValueError(wanted)
    for permissions in roles.values():
        if not isinstance(permissions, list) or not all(isinstance(name, str) for name in permissions):
            raise ValueError(wanted)
    return dict(roles)


def _origins(raw: Any) -> frozenset[str]:
    origins = frozenset(origin.strip() for origin in str(raw).split(","))
    if not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("must be origins as browsers write them, by comma, such as https://office.example:8443")
    return origins


def _address(raw: Any) -> str:
    try:
        return str(ipaddress.ip_address(str(raw).strip()))
    except ValueError:
        raise ValueError("must be the IP address of one proxy, such as 127.0.0.1") from None


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(raw: Any) -> str:
        if raw not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}")
        return raw

    return read


# Each setting by its name without the prefix: how it is read, and its default.
SETTINGS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "HOST": (_text, "127.0.0.1"),
    "PORT": (_whole_number(0, 65535), 9154),
    "THREADS": (_whole_number(1, 256), 8),
    "DATABASE_URL": (_database_url, _database_url("sqlite:///instance/payments.db")),
    "IDEMPOTENCY_DAYS": (_whole_number(1, 365), 7),
    "JWT_SECRET": (_text, None),
    "JWT_SECRET_FILE": (_text, None),
    "JWT_PUBLIC_KEY_FILE": (_text, None),
    "JWT_ALGORITHM": (_one_of("HS256", "RS256", "ES256", "EdDSA"), None),
    "JWT_ISSUER": (_text, None),
    "JWT_AUDIENCE": (_text, None),
    # Bounded, because a long leeway would be a switch that turns expiry off.
    "JWT_LEEWAY": (_whole_number(0, 300), 10),
    "ROLE_PERMISSIONS": (_role_permissions, {}),
    "TRUSTED_ORIGINS": (_origins, frozenset()),
    "TRUSTED_PROXY": (_address, None),
    "LOG_FORMAT": (_one_of("logfmt", "json"), "logfmt"),
}


def read_settings(given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return every setting by its name without `PAYMENTS_`, checked, with defaults filled in.

    `given` has the same names; without it the environment is read. A blank value counts as not set.

    Raises `SettingError` for a value that is refused.
    """
    if given is None:
        # loads=str: as JSON, a secret made of digits would turn into a number.
        environment = flask.Config(PROJECT)
        environment.from_prefixed_env(PREFIX.rstrip("_"), loads=str)
        given = environment
    for name in sorted(given.keys() - SETTINGS.keys()):
        logger.warning("%s%s is not a setting of this service and is ignored", PREFIX, name)

    settings = {}
    for name, (read, default) in SETTINGS.items():
        raw = given.get(name)
        if raw is None or not str(raw).strip():
            settings[name] = default
            continue
        try:
            settings[name] = read(raw)
        except ValueError as error:
            raise SettingError(f"{PREFIX}{name} {error}") from None
    return settings
