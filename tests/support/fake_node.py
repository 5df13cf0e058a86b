"""What the fakes of Lightning nodes share: invoices, a guest who pays them, and troubles"""
import hashlib
import json
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Request, Response

from .invoices import make_bolt11


@dataclass
class FakeInvoice:
    """An invoice of a fake node."""

    external_id: str | None
    msat: int
    memo: str
    expires_at: float
    preimage: str = field(default_factory=lambda: secrets.token_hex(32))
    bolt11: str = ""
    paid: bool = False
    received_msat: int = 0
    fees_msat: int = 0

    @property
    def payment_hash(self) -> str:
        """The hash of the preimage, as of a real invoice."""
        return hashlib.sha256(bytes.fromhex(self.preimage)).hexdigest()


class FakeNode:
    """A WSGI application for the fixture `serve`, with `threaded=True` if a test lets it hang.

    `trouble` is None or how every call goes wrong: `down` closes the connection, `hang` waits until there is no trouble
    any more, `late` does what is asked and then closes the connection, `malformed` responds with half a JSON text,
    `huge` with a megabyte, `drip` with a byte in each tenth of a second, and a status, such as 500 or 429, is that
    response.
    `calls` has the method and the path of each call, with its query.
    """

    key = "a key that can only receive"
    full_key = "a key that can pay"

    def __init__(self) -> None:
        self.invoices: dict[str, FakeInvoice] = {}
        self.trouble: str | int | None = None
        self.calls: list[str] = []
        # The next invoices ask for this much more: a node that must not be trusted.
        self.surcharge_msat = 0
        self._changed = threading.Condition()

    def pay(self, payment_hash: str, received_msat: int | None = None, fees_msat: int = 0) -> None:
        """Pay an invoice as a guest does. Without `received_msat`, it is what was asked, less the fees."""
        invoice = self.invoices[payment_hash]
        invoice.received_msat = invoice.msat - fees_msat if received_msat is None else received_msat
        invoice.fees_msat = fees_msat
        invoice.paid = True

    def recover(self) -> None:
        """End the trouble, also for calls that hang."""
        with self._changed:
            self.trouble = None
            self._changed.notify_all()

    def add_invoice(self, external_id: str | None, msat: int, memo: str, seconds: int) -> FakeInvoice:
        """Make an invoice."""
        invoice = FakeInvoice(external_id, msat, memo, time.time() + seconds)
        invoice.bolt11 = make_bolt11(msat + self.surcharge_msat, invoice.payment_hash, seconds, memo)
        self.invoices[invoice.payment_hash] = invoice
        return invoice

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        self.calls.append(f"{request.method} {request.full_path.rstrip('?')}")
        if self.trouble == "hang":
            with self._changed:
                self._changed.wait_for(lambda: self.trouble != "hang", timeout=60)
        response = self._go_wrong(request)
        if self.trouble in ("down", "late"):
            # The response gets lost.
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return response(environ, start_response)

    def _go_wrong(self, request: Request) -> Response:
        if isinstance(self.trouble, int):
            return Response("<h1>a page of a proxy</h1>", self.trouble, content_type="text/html")
        if self.trouble == "down":
            return Response()
        if self.trouble == "malformed":
            return Response('{"paid": tru', content_type="application/json")
        if self.trouble == "huge":
            return Response(b'"' + b" " * 1_000_000 + b'"', content_type="application/json")
        if self.trouble == "drip":
            return Response((time.sleep(1 / 10) or b" " for _ in range(600)), content_type="application/json")
        return self.respond(request)

    def respond(self, request: Request) -> Response:
        """Respond as the node does."""
        raise NotImplementedError


def json_response(value: Any, status: int = 200) -> Response:
    """Return a response with JSON."""
    return Response(json.dumps(value), status, content_type="application/json")
