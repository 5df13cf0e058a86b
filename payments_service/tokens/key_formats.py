"""Keys of access tokens: their formats, and which of them are strong enough."""
import base64
import json
import re
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from cryptography.x509 import Certificate, load_der_x509_certificate, load_pem_x509_certificate

# The minimum sizes of RFC 7518, sections 3.2 and 3.3.
MIN_SECRET_BYTES = 32
MIN_RSA_BITS = 2048
SECRET_ALGORITHM = "HS256"
# Before a secret whose bytes are not text.
BASE64_PREFIX = "base64:"
PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----[^-]+-----END [A-Z0-9 ]+-----")
PUBLIC_KEYS_EXPECTED = (
    "must hold public keys in PEM or JWKS format: RSA of at least 2048 bits, EC on the curve P-256, or Ed25519; "
    "those in PEM all of one kind"
)
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


def parse_public_keys(content: bytes) -> Keys:
    """Return the public keys in PEM blocks (RFC 7468), certificates, DER or a JSON Web Key Set (RFC 7517).

    Those in PEM have to fit one algorithm. Raises ValueError unless there are any, and for a key that is not public.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if text.lstrip().startswith("{"):
        return _parse_json(text)
    blocks = PEM.findall(text)
    # A truncated block is rejected now, not ignored until tokens signed with its key arrive.
    if text.count("BEGIN ") != len(blocks):
        raise ValueError(PUBLIC_KEYS_EXPECTED)
    try:
        # Keycloak shows keys and certificates without the first and the last line of PEM.
        found = [_load_pem(block) for block in blocks] or [_load_der(base64.b64decode(text) if text else content)]
        return _check_algorithms(found)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(PUBLIC_KEYS_EXPECTED) from None


def select_public_keys(jwk_set: jwt.PyJWKSet) -> Keys:
    """Return the keys of a set that verify tokens of a supported algorithm. Each is for its own algorithm alone.

    Raises ValueError if there are none, or if a key is secret.
    """
    selected = []
    for jwk in jwk_set.keys:
        if isinstance(jwk.key, bytes) or hasattr(jwk.key, "private_bytes"):
            raise ValueError("must not hold private keys or secrets")
        algorithm = find_algorithm(jwk.key)
        if jwk.public_key_use in (None, "sig") and jwk.algorithm_name == algorithm:
            kid = jwk.key_id
            selected.append(Key(algorithm, jwk.key, kid if isinstance(kid, str) else None))
    if not selected:
        raise ValueError(PUBLIC_KEYS_EXPECTED)
    return tuple(selected)


def find_algorithm(key: Any) -> str | None:
    """Return the algorithm (RFC 7518, RFC 8037) that a public key is for, None if the key is not supported."""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PublicKey) else None


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
        # PyJWT rejects keys in PEM, DER, SSH or JWK format.
        jwt.encode({}, secret, SECRET_ALGORITHM)
    except jwt.InvalidKeyError:
        return False
    return isinstance(secret, bytes) or not (secret.startswith(("#", "-----")) or _is_base64_public_key(secret))


def _is_base64_public_key(text: str) -> bool:
    """Return whether a text is a public key or a certificate in Base64, which is the content of a PEM block."""
    try:
        _load_der(base64.b64decode(text))
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _parse_json(text: str) -> Keys:
    """Return the keys of a JSON Web Key Set, or a single JSON Web Key."""
    try:
        value = json.loads(text)
        return select_public_keys(jwt.PyJWKSet.from_dict(value if "keys" in value else {"keys": [value]}))
    except (jwt.PyJWTError, RecursionError, json.JSONDecodeError):
        raise ValueError(PUBLIC_KEYS_EXPECTED) from None


def _load_pem(block: str) -> Any:
    """Return the public key of a PEM block, or the certificate in it; raises ValueError."""
    if "CERTIFICATE-----" in block:
        return load_pem_x509_certificate(block.encode())
    return load_pem_public_key(block.encode())


def _load_der(data: bytes) -> Any:
    """Return the public key or the certificate that is encoded in DER; raises ValueError."""
    try:
        return load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        return load_der_x509_certificate(data)


def _check_algorithms(found: list[Any]) -> Keys:
    """Return keys, and the keys of certificates; raises ValueError unless all fit one algorithm."""
    # A certificate that issued another one of the file signs certificates, not tokens.
    certificates = [entry for entry in found if isinstance(entry, Certificate)]
    issuers = [entry.issuer for entry in certificates if entry.issuer != entry.subject]
    public_keys = [entry for entry in found if not isinstance(entry, Certificate)]
    public_keys += [entry.public_key() for entry in certificates if entry.subject not in issuers]
    algorithms = {find_algorithm(key) for key in public_keys}
    if len(algorithms) != 1 or None in algorithms:
        raise ValueError(PUBLIC_KEYS_EXPECTED)
    return tuple(Key(str(find_algorithm(key)), key) for key in public_keys)
