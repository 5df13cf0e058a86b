"""A fake of phoenixd, written from the source of version 0.8.0 (Api.kt and JsonSerializers.kt)"""
import base64
import time
from typing import Any

from werkzeug import Request, Response

from .fake_node import FakeInvoice, FakeNode, json_response

UNAUTHORIZED = "Invalid authentication (use basic auth with the http password set in phoenix.conf)"


class FakePhoenixd(FakeNode):
    """phoenixd with a password for limited access, `key`, and one for everything, `full_key`."""

    key = "60fe1f9bd8b44b1ea7b2b7ac2b3f4a9ef2f3b3f5a1f34c9ba1fcd9c0c8a1d2e3"
    full_key = "c17dd2a2bd1f4c0c9d8d1f3e1b1b1a9c8f7e6d5c4b3a29181706050403020100"

    def respond(self, request: Request) -> Response:
        """Route the request."""
        password = self.read_password(request)
        if password not in (self.key, self.full_key):
            return Response(UNAUTHORIZED, 401)
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["getinfo"]:
                info = {"nodeId": "02" * 33, "channels": [], "chain": "mainnet", "blockHeight": 900000}
                return json_response(info | {"version": "0.8.0-de6f8ae"})
            case "POST", ["createinvoice"]:
                return self.create(request)
            case "GET", ["payments", "incoming"]:
                return self.list(request)
            case "GET", ["payments", "incoming", payment_hash]:
                if payment_hash not in self.invoices:
                    return Response("Not found", 404)
                return json_response(self.describe(self.invoices[payment_hash]))
            case "POST", ["payinvoice" | "lnurlauth" as operation]:
                if password != self.full_key:
                    return Response(UNAUTHORIZED, 401)
                missing = {"payinvoice": "invoice", "lnurlauth": "lnurl"}[operation]
                return Response(f"Request parameter {missing} is missing", 400)
        return Response("Unknown endpoint (check api doc)", 404)

    def read_password(self, request: Request) -> str | None:
        """Return the password of basic authentication; the user may have any name."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(credentials).decode().partition(":")[2] if scheme == "Basic" else None

    def create(self, request: Request) -> Response:
        """Make an invoice from a form."""
        form = request.form
        # Kotlin counts code units of UTF-16.
        if len(form["description"].encode("utf-16-le")) > 2 * 128:
            return Response("Request parameter description is too long (max 128 characters)", 400)
        msat, seconds = int(form["amountSat"]) * 1000, int(form["expirySeconds"])
        invoice = self.add_invoice(form.get("externalId"), msat, form["description"], seconds)
        made = {"amountSat": msat // 1000, "paymentHash": invoice.payment_hash, "serialized": invoice.bolt11}
        return json_response(made)

    def list(self, request: Request) -> Response:
        """List the newest invoices first, without `all` only those that are paid."""
        external_id, limit = request.args.get("externalId"), int(request.args.get("limit", 20))
        found = [
            self.describe(invoice)
            for invoice in reversed(self.invoices.values())
            if external_id in (None, invoice.external_id) and (invoice.paid or request.args.get("all") == "true")
        ]
        return json_response(found[:limit])

    def describe(self, invoice: FakeInvoice) -> dict[str, Any]:
        """Return an incoming payment as phoenixd does. It has the preimage before the payment, and no nulls."""
        return {
            "type": "incoming_payment",
            "subType": "lightning",
            "paymentHash": invoice.payment_hash,
            "preimage": invoice.preimage,
            "externalId": invoice.external_id,
            "description": invoice.memo,
            "invoice": invoice.bolt11,
            "isPaid": invoice.paid,
            "isExpired": time.time() > invoice.expires_at,
            "requestedSat": invoice.msat // 1000,
            "receivedSat": invoice.received_msat // 1000,
            "fees": invoice.fees_msat,
            "expiresAt": int(invoice.expires_at * 1000),
        }
