"""The settings: where they are read and checked."""
import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flask
import psycopg
from psycopg.conninfo import conninfo_to_dict

PREFIX = "PAYMENTS_"
PROJECT = Path(__file__).resolve().parent.parent
GENERATED_SECRET_FILE = PROJECT / "instance" / "jwt-secret"
# RFC 7518, section 3.2: an HS256 key is at least as long as its hash.
SECRET_BYTES = 32

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


# Each setting by its name without the prefix: how it is read, and its default.
SETTINGS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "HOST": (_text, "127.0.0.1"),
    "PORT": (_whole_number(0, 65535), 9154),
    "THREADS": (_whole_number(1, 256), 8),
    "DATABASE_URL": (_database_url, _database_url("sqlite:///instance/payments.db")),
    "JWT_SECRET": (_text, None),
    "JWT_SECRET_FILE": (_text, None),
    "JWT_ISSUER": (_text, None),
    "JWT_AUDIENCE": (_text, None),
    # Bounded, because a long leeway would be a switch that turns expiry off.
    "JWT_LEEWAY": (_whole_number(0, 300), 10),
    "ROLE_PERMISSIONS": (_role_permissions, {}),
}


def read_settings(given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return every setting by its name without `PAYMENTS_`, checked, with defaults filled in.

    `given` has the same names; without it the environment is read. A blank value counts as not set. `JWT_SECRET`
    is always there afterwards: when neither it nor its file is set, the service makes one on its first start.

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
    settings["JWT_SECRET"] = _jwt_secret(settings["JWT_SECRET"], settings["JWT_SECRET_FILE"])
    return settings


def _jwt_secret(secret: str | None, file: str | None) -> str:
    if secret and file:
        raise SettingError("PAYMENTS_JWT_SECRET and PAYMENTS_JWT_SECRET_FILE are both set: keep one of them")
    source = f"{PREFIX}JWT_SECRET"
    if not secret:
        path = PROJECT / file if file else GENERATED_SECRET_FILE
        source = f"{PREFIX}JWT_SECRET_FILE {path}"
        if not file:
            _generate_secret(path)
        try:
            secret = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"{source} cannot be read: {error}") from None
    if len(secret.encode()) < SECRET_BYTES:
        raise SettingError(f"{source} must hold at least {SECRET_BYTES} bytes")
    return secret


def _generate_secret(path: Path) -> None:
    """Write a random secret to `path` unless there is one, whole or not at all, also when two processes try at once."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
            logger.warning("No secret for access tokens is set: wrote a random one to %s", path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    except OSError as error:
        raise SettingError(f"PAYMENTS_JWT_SECRET is not set and {path} cannot be written: {error}") from None
