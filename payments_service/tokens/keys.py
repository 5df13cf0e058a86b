"""Keys for access tokens: read from the settings, validated and, on the first start, generated."""
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

from ..errors import SettingError
from ..settings import PREFIX, PROJECT

GENERATED_SECRET_FILE = PROJECT / "instance" / "jwt-secret"
# The minimum sizes of RFC 7518, sections 3.2 and 3.3.
MIN_SECRET_BYTES = 32
MIN_RSA_BITS = 2048
SECRET_ALGORITHM = "HS256"
PEM = re.compile(r"-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----")
PUBLIC_KEYS_EXPECTED = (
    "must hold public keys in PEM format: all RSA of at least 2048 bits, all EC on the curve P-256, or all Ed25519"
)

logger = logging.getLogger(__name__)


class Keys(NamedTuple):
    """The keys that verify access tokens, all for one algorithm. The first secret also signs tokens."""

    algorithm: str
    verifying: list[Any]
    # The setting that the keys come from and, for a file, its path.
    source: str = ""
    file: Path | None = None


def _parse_secrets(text: str) -> Keys:
    """Return the secrets in a text with one secret per line; raises ValueError if one is too short or not a secret."""
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found or min(len(secret.encode()) for secret in found) < MIN_SECRET_BYTES:
        raise ValueError(f"must hold at least {MIN_SECRET_BYTES} bytes on each line")
    # Public keys and comments are not secret: anybody who knows them could sign tokens.
    if not all(_is_secret(line) for line in found):
        raise ValueError("must hold only secrets: no comments and no public keys")
    return Keys(SECRET_ALGORITHM, found)


def _is_secret(line: str) -> bool:
    """Return whether a line is neither a comment nor a part of a public key or key file."""
    try:
        # PyJWT rejects keys in PEM or SSH format.
        jwt.encode({}, line, SECRET_ALGORITHM)
    except jwt.InvalidKeyError:
        return False
    return not line.startswith(("#", "-----")) and not _is_public_key(line)


def _is_public_key(text: str) -> bool:
    """Return whether a text is a DER public key in Base64, which is the content of a PEM block."""
    try:
        load_der_public_key(base64.b64decode(text))
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _parse_public_keys(text: str) -> Keys:
    """Return the public keys in a text of PEM blocks (RFC 7468); raises ValueError unless all fit one algorithm."""
    blocks = PEM.findall(text)
    try:
        found = [load_pem_public_key(block.encode()) for block in blocks]
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(PUBLIC_KEYS_EXPECTED) from None
    algorithms = {_algorithm_of(key) for key in found}
    # A truncated block is rejected now, not ignored until tokens signed with its key arrive.
    if len(algorithms) != 1 or None in algorithms or text.count("BEGIN ") != len(blocks):
        raise ValueError(PUBLIC_KEYS_EXPECTED)
    return Keys(str(algorithms.pop()), found)


def _algorithm_of(key: Any) -> str | None:
    """Return the algorithm (RFC 7518, RFC 8037) that a public key is for, None if the key is not supported."""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PublicKey) else None


KEY_PARSERS = {
    "JWT_SECRET": _parse_secrets,
    "JWT_SECRET_FILE": _parse_secrets,
    "JWT_PUBLIC_KEY_FILE": _parse_public_keys,
}


def read_keys(settings: Mapping[str, Any]) -> Keys:
    """Return the keys that the settings name. If they name none, use a secret generated on the first start.

    Raises `SettingError` if several settings name keys, or if the keys cannot be read, are weak or are not supported.
    """
    given = {name: settings[name] for name in KEY_PARSERS if settings[name]}
    if len(given) > 1:
        raise SettingError(f"{' and '.join(PREFIX + name for name in given)} must not be set together: keep only one")
    if not given:
        _ensure_secret_file(GENERATED_SECRET_FILE)
        given = {"JWT_SECRET_FILE": GENERATED_SECRET_FILE}
    ((name, value),) = given.items()
    file = PROJECT / value if name.endswith("_FILE") else None
    source = f"{PREFIX}{name} {file}" if file else f"{PREFIX}{name}"
    try:
        # Some editors begin a file with a byte order mark.
        keys = KEY_PARSERS[name](file.read_text("utf-8-sig") if file else value)
        if settings["JWT_ALGORITHM"] not in (None, keys.algorithm):
            raise ValueError(f"is for {keys.algorithm}, but {PREFIX}JWT_ALGORITHM is {settings['JWT_ALGORITHM']}")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{source} cannot be read: {error}") from None
    except ValueError as error:
        raise SettingError(f"{source} {error}") from None
    return keys._replace(source=source, file=file)


def _ensure_secret_file(path: Path) -> None:
    """Create a file with a random secret unless it exists. Processes that start at the same time share one secret."""
    if path.exists():
        return
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(MIN_SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            # Unlike a rename, a link fails if another process has just created the file.
            os.link(temporary, path)
            logger.warning("No secret for access tokens is set: wrote a random one to %s", path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    except OSError as error:
        raise SettingError(f"{PREFIX}JWT_SECRET is not set and {path} cannot be written: {error}") from None
