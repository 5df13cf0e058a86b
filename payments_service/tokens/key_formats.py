"""Keys of access tokens, and secrets among them: their formats, and which are strong enough."""
import base64
import re
from typing import Any, NamedTuple

import jwt

# The minimum size of RFC 7518, section 3.2.
MIN_SECRET_BYTES = 32
SECRET_ALGORITHM = "HS256"
# Before a secret whose bytes are not text.
BASE64_PREFIX = "base64:"
# The first byte of a public key or a certificate in DER (X.690, section 8.9), and of one in 256 random secrets.
DER_SEQUENCE = b"\x30"
# A line of a file of settings. A text in Base64 has its `=` at its end.
ASSIGNMENT = re.compile(r"(export\s+)?[A-Za-z_]\w*(\s*=\s*[^=\s]|:\s)")
QUOTES = tuple("\"'`“”‘’")


class Key(NamedTuple):
    """A key that verifies the tokens of one algorithm. If it has an id, tokens may name it (RFC 7515, 4.1.4)."""

    algorithm: str
    # For a secret its text or bytes.
    material: Any
    kid: str | None = None


# The first secret also signs tokens.
Keys = tuple[Key, ...]


def parse_secrets(content: bytes) -> Keys:
    """Return the secrets in a text with one secret per line; raises ValueError if one is too short or not a secret."""
    try:
        # Some editors begin a file with a byte order mark.
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"must be UTF-8 text: write other bytes in Base64, as {BASE64_PREFIX}...") from None
    secrets = [_parse_secret(line.strip()) for line in lines if line.strip()]
    if not secrets or min(map(_count_bytes, secrets)) < MIN_SECRET_BYTES:
        raise ValueError(f"must hold at least {MIN_SECRET_BYTES} bytes on each line")
    # Public keys and comments are not secret: anybody who knows them could sign tokens.
    if not all(_is_secret(secret) for secret in secrets):
        raise ValueError("must hold only secrets: no comments and no public keys")
    return tuple(Key(SECRET_ALGORITHM, secret) for secret in secrets)


def find_doubts(keys: Keys) -> list[str]:
    """Return what makes it doubtful that the secrets among the keys are what the sign-in service uses."""
    texts = [key.material for key in keys if isinstance(key.material, str)]
    doubts = []
    if any(ASSIGNMENT.match(text) for text in texts):
        doubts.append("a secret begins with a name, as in NAME=secret: the name is taken for a part of it")
    if any(text.startswith(QUOTES) or text.endswith(QUOTES) for text in texts):
        doubts.append("a secret has quotes around it: they are taken for a part of it")
    return doubts


def _parse_secret(line: str) -> str | bytes:
    if not line.startswith(BASE64_PREFIX):
        return line
    encoded = line.removeprefix(BASE64_PREFIX).strip().rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError(f"must hold Base64 after {BASE64_PREFIX}") from None


def _count_bytes(secret: str | bytes) -> int:
    return len(secret.encode() if isinstance(secret, str) else secret)


def _is_secret(secret: str | bytes) -> bool:
    """Return whether a line, or the bytes it encodes, is neither a comment nor a part of a public key or key file."""
    try:
        # PyJWT rejects keys in PEM, SSH or JWK format.
        jwt.encode({}, secret, SECRET_ALGORITHM)
    except jwt.InvalidKeyError:
        return False
    if isinstance(secret, bytes):
        return not _is_der_public_key(secret)
    return not (secret.startswith(("#", "-----")) or _is_base64_public_key(secret))


def _is_base64_public_key(text: str) -> bool:
    """Return whether a text is a public key or a certificate in Base64, which is the content of a PEM block."""
    try:
        return _is_der_public_key(base64.b64decode(text))
    except ValueError:
        return False


def _is_der_public_key(data: bytes) -> bool:
    """Return whether bytes are a public key or a certificate in DER. PyJWT rejects those only with cryptography."""
    if not data.startswith(DER_SEQUENCE):
        return False
    # Imported here, because a service with secrets does without cryptography: see wsgi.py.
    from . import public_keys

    return public_keys.is_der(data)
