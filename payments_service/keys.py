"""The keys of access tokens: where they are read, judged and, on the first start, made."""
import base64
import logging
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from .settings import PREFIX, PROJECT, SettingError

GENERATED_SECRET_FILE = PROJECT / "instance" / "jwt-secret"
# RFC 7518, sections 3.2 and 3.3.
SECRET_BYTES = 32
RSA_BITS = 2048
SECRET_ALGORITHM = "HS256"
PEM = re.compile(r"-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----")
NO_PUBLIC_KEYS = "must hold public keys in PEM, all RSA of 2048 bits or more, all EC on the curve P-256, or all Ed25519"

logger = logging.getLogger(__name__)


class Keys(NamedTuple):
    """The keys that verify access tokens by one algorithm, and where they are. The first of several secrets signs."""

    algorithm: str
    verifying: list[Any]
    source: str = ""
    file: Path | None = None


def _secrets(text: str) -> Keys:
    """Return the secrets in a text, one a line."""
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found or min(len(secret.encode()) for secret in found) < SECRET_BYTES:
        raise ValueError(f"must hold at least {SECRET_BYTES} bytes, on each line")
    # A line of a key file, or a comment, would be a secret that others know.
    if not all(_is_secret(line) for line in found):
        raise ValueError("must hold secrets alone: no comments, and no public keys")
    return Keys(SECRET_ALGORITHM, found)


def _is_secret(line: str) -> bool:
    try:
        jwt.encode({}, line, SECRET_ALGORITHM)
    except jwt.InvalidKeyError:
        return False
    return not line.startswith(("#", "-----")) and not _is_public_key(line)


def _is_public_key(text: str) -> bool:
    """Tell whether a text is a public key in DER and Base64, which is what PEM has between its lines."""
    try:
        load_der_public_key(base64.b64decode(text))
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _public_keys(text: str) -> Keys:
    """Return the public keys in a text, each in PEM (RFC 7468), and the one algorithm that they are for."""
    blocks = PEM.findall(text)
    try:
        found = [load_pem_public_key(block.encode()) for block in blocks]
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(NO_PUBLIC_KEYS) from None
    algorithms = {_algorithm_of(key) for key in found}
    # One that is cut short must not go unnoticed until it is needed.
    if len(algorithms) != 1 or None in algorithms or text.count("BEGIN ") != len(blocks):
        raise ValueError(NO_PUBLIC_KEYS)
    return Keys(str(algorithms.pop()), found)


def _algorithm_of(key: Any) -> str | None:
    """Return the algorithm (RFC 7518, RFC 8037) that a public key verifies, None for one that is not taken."""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS:
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PublicKey) else None


KEY_SETTINGS = {"JWT_SECRET": _secrets, "JWT_SECRET_FILE": _secrets, "JWT_PUBLIC_KEY_FILE": _public_keys}


def read_keys(settings: Mapping[str, Any]) -> Keys:
    """Return the keys that the settings name; with none named, a secret that the service makes on its first start.

    Raises `SettingError` for keys in two places, and for those that are weak or of another kind.
    """
    given = {name: settings[name] for name in KEY_SETTINGS if settings[name]}
    if len(given) > 1:
        raise SettingError(f"{' and '.join(PREFIX + name for name in given)} are set together: keep one of them")
    if not given:
        _generate_secret(GENERATED_SECRET_FILE)
        given = {"JWT_SECRET_FILE": GENERATED_SECRET_FILE}
    ((name, value),) = given.items()
    source = f"{PREFIX}{name} {PROJECT / value}" if name.endswith("_FILE") else f"{PREFIX}{name}"
    try:
        keys = KEY_SETTINGS[name]((PROJECT / value).read_text("utf-8-sig") if name.endswith("_FILE") else value)
        if settings["JWT_ALGORITHM"] not in (None, keys.algorithm):
            raise ValueError(f"is for {keys.algorithm}, but {PREFIX}JWT_ALGORITHM is {settings['JWT_ALGORITHM']}")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{source} cannot be read: {error}") from None
    except ValueError as error:
        raise SettingError(f"{source} {error}") from None
    return keys._replace(source=source, file=PROJECT / value if name.endswith("_FILE") else None)


def _generate_secret(path: Path) -> None:
    """Write a random secret to `path` unless there is one, whole and only one, also when two processes try at once."""
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
