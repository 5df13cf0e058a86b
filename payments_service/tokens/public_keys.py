"""Public keys of access tokens: their formats, and which of them are strong enough."""
import base64
import json
import re
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from cryptography.x509 import Certificate, load_der_x509_certificate, load_pem_x509_certificate

from .key_formats import Key, Keys

# The minimum size of RFC 7518, section 3.3.
MIN_RSA_BITS = 2048
PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----[^-]+-----END [A-Z0-9 ]+-----")
PUBLIC_KEYS_EXPECTED = (
    "must hold public keys in PEM or JWKS format: RSA of at least 2048 bits, EC on the curve P-256, or Ed25519; "
    "those in PEM all of one kind"
)


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


def is_der(data: bytes) -> bool:
    """Return whether bytes are a public key or a certificate in DER."""
    try:
        _load_der(data)
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
