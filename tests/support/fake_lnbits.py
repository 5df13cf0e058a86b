"""A fake of LNbits: what it does for a wallet's key, as version 1.6.2 was seen to respond"""
import json
import time
from typing import Any

from werkzeug import Request, Response

from .fake_node import FakeInvoice, FakeNode, json_response


class FakeLnbits(FakeNode):
    """LNbits with one wallet. Besides the troubles of every node, `no status` is that it cannot reach its own node.

    `rates` has the satoshi of a unit of each currency, as the JSON number to respond with.
    """

    key = "0e4fad65663640cabd3e8787868c5358"
    full_key = "8332cf8ee1a04ca6b980d26a81869e26"

    def __init__(self) -> None:
        super().__init__()
        self.rates: dict[str, str] = {}

    def respond(self, request: Request) -> Response:
        """Route the request."""
        path = request.path
        if path.startswith("/api/v1/rate/"):
            # Anybody may ask.
            return Response(f'{{"rate": {self.rates.get(path.rpartition("/")[2], "0.0")}, "price": 0.0}}')
        key = request.headers.get("X-Api-Key")
        if path.startswith("/api/v1/payments/"):
            return self.tell(path.rpartition("/")[2], key in (self.key, self.full_key))
        if not key:
            return json_response({"detail": "No Api Key provided."}, 401)
        if key not in (self.key, self.full_key):
            return json_response({"detail": "Wallet not found."}, 404)
        if path == "/api/v1/wallet":
            return json_response({"name": "restaurant", "balance": 0} | ({"id": "88"} if key == self.full_key else {}))
        if path == "/api/v1/payments":
            return self.create(request) if request.method == "POST" else self.list(request)
        return json_response({"detail": "Not Found"}, 404)

    def create(self, request: Request) -> Response:
        """Make an invoice; fractions of a satoshi are cut off."""
        wanted = json.loads(request.get_data(), parse_float=str)
        if wanted["out"]:
            return json_response({"detail": "Invoice (or Admin) key required."}, 403)
        msat = int(wanted["amount"]) * 1000
        invoice = self.add_invoice(wanted.get("external_id"), msat, wanted["memo"], wanted["expiry"])
        return json_response(self.describe(invoice), 201)

    def list(self, request: Request) -> Response:
        """List the newest invoices first, or those with an external id."""
        external_id = request.args.get("external_id")
        found = [invoice for invoice in self.invoices.values() if external_id in (None, invoice.external_id)]
        return json_response([self.describe(invoice) for invoice in reversed(found)])

    def tell(self, payment_hash: str, known_key: bool) -> Response:
        """Tell whether an invoice is paid: to anybody, but its details only to its wallet."""
        if payment_hash not in self.invoices:
            return json_response({"detail": "Payment does not exist."}, 404)
        described = self.describe(self.invoices[payment_hash])
        details = {"details": described} if known_key else {}
        if described["status"] == "success":
            return json_response({"paid": True, "preimage": described["preimage"]} | details)
        if described["status"] == "failed":
            return json_response({"paid": False, "status": "failed"} | details)
        if self.trouble == "no status":
            return json_response({"paid": False} | details)
        status = {"status": "pending"} if known_key else {}
        return json_response({"paid": False, "preimage": None} | status | details)

    def describe(self, invoice: FakeInvoice) -> dict[str, Any]:
        """Return a payment as LNbits describes it. It knows the preimage before the payment."""
        failed = time.time() > invoice.expires_at
        paid = invoice.paid and self.trouble != "no status"
        return {
            "checking_id": invoice.payment_hash,
            "payment_hash": invoice.payment_hash,
            "wallet_id": "88161b513e77467bbc9fd1c173ba67d6",
            "amount": invoice.received_msat + invoice.fees_msat if paid else invoice.msat,
            "fee": invoice.fees_msat,
            "bolt11": invoice.bolt11,
            "payment_request": invoice.bolt11,
            "status": "success" if paid else "failed" if failed else "pending",
            "memo": invoice.memo,
            "preimage": invoice.preimage,
            "extra": {"wallet_fiat_currency": "USD", "wallet_fiat_rate": 1040},
            "external_id": invoice.external_id,
        }
