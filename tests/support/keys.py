"""Keys of other issuers, in the formats that they publish them in"""
import contextlib
import http.server
import json
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

ALGORITHMS = {
    "RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm, "EdDSA": jwt.algorithms.OKPAlgorithm,
}


def make_key(algorithm: str = "EdDSA") -> Any:
    """Return a new private key. One for RS256 takes a while."""
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else ec.generate_private_key(ec.SECP256R1())


def algorithm_of(key: Any) -> str:
    """Return the algorithm that a private key signs with."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else "ES256"


def spki(key: Any, encoding: Encoding = Encoding.PEM) -> bytes:
    """Return the public key of a private key."""
    return key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def certificate(key: Any, name: str = "sign-in", issuer: str | None = None, issuer_key: Any = None) -> x509.Certificate:
    """Return a certificate for a key, signed by itself unless an issuer is given. It expired yesterday."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer or name)]
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=9)).not_valid_after(now - timedelta(days=1))
    signer = issuer_key or key
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else SHA256())


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    """Return the public key of a private key as a JSON Web Key with more members."""
    return {**ALGORITHMS[algorithm_of(key)].to_jwk(key.public_key(), as_dict=True), **members}


def jwks(*keys: dict[str, Any]) -> bytes:
    """Return a JSON Web Key Set."""
    return json.dumps({"keys": keys}).encode()


class KeyServer:
    """A server on the loopback interface with a JSON Web Key Set, which a test may change, break or delay."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 200, {}, b""
        self.requests: list[dict[str, str]] = []
        # Cleared, requests wait until it is set.
        self.responds = threading.Event()
        self.responds.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(dict(self.headers, path=self.path))
                outer.responds.wait(60)
                # The client may have closed the connection meanwhile.
                with contextlib.suppress(ConnectionError):
                    self.send_response(outer.status)
                    for name, value in outer.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(outer.body)

            def log_message(self, *_args: Any) -> None:
                """Print nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json"
        self.thread = threading.Thread(target=self.server.serve_forever, args=[1 / 100])
        self.thread.start()

    def close(self) -> None:
        """Stop listening. Requests are then refused."""
        self.responds.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
