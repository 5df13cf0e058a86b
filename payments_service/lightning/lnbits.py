"""A wallet of LNbits (https://lnbits.com), as of version 1.6.2. Its key should be the invoice key."""
import json
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from ..errors import BackendFault
from . import answers
from .backend import Health, Look, Offer
from .client import Client

DEFAULT_URL = "http://127.0.0.1:5000"
# No unit of a currency is worth less than a billionth of a satoshi, or more than a bitcoin.
MIN_RATE, MAX_RATE = Decimal("1E-9"), Decimal(10**8)
MAX_RATE_DIGITS = 40
# What an invoice has room for (BOLT 11): with a longer memo, LNbits fails.
MAX_MEMO_BYTES = 639


class Lnbits:
    """A wallet of LNbits. Amounts are sent in whole satoshi, because LNbits cuts off fractions."""

    name = "lnbits"

    def __init__(self, url: str, key: str) -> None:
        self._client = Client("LNbits", url, {"X-Api-Key": key})

    def create_invoice(self, *, external_id: str, sat: int, memo: str, seconds: int) -> Offer:
        """Make an invoice. A memo that is too long for it is cut off."""
        memo = memo.encode()[:MAX_MEMO_BYTES].decode(errors="ignore")
        wanted: dict[str, Any] = {"out": False, "amount": sat, "unit": "sat", "memo": memo, "expiry": seconds}
        body = json.dumps(wanted | {"extra": {}, "external_id": external_id}).encode()
        return self._read_offer(self._client.ask("POST", "/api/v1/payments", body, "application/json"))

    def find_invoice(self, external_id: str) -> Offer | None:
        """Return the newest invoice with this id that LNbits still takes money for."""
        path = f"/api/v1/payments?external_id={quote(external_id, safe='')}&sortby=time&direction=desc&limit=10"
        for payment in answers.items(self._client, self._client.ask("GET", path)):
            # Versions that do not know this filter list all payments.
            if payment.get("external_id") == external_id and payment.get("status") != "failed":
                return self._read_offer(payment)
        return None

    def look(self, payment_hash: str) -> Look | None:
        """Ask LNbits, which asks its node. Without a `status`, it could not: the invoice may be paid or not."""
        answer = self._client.find(f"/api/v1/payments/{payment_hash}")
        if answer is None:
            return None
        paid = answers.take(self._client, answer, "paid", bool)
        if not paid and not isinstance(answer.get("status"), str):
            return None
        details = answers.take(self._client, answer, "details", dict, {})
        if not paid:
            return Look(False, None, 0)
        received = answers.take(self._client, details, "amount", int, None)
        # What goes out of a wallet is negative, also if the wallet has paid its own invoice.
        fees = abs(answers.take(self._client, details, "fee", int, 0))
        return Look(True, None if received is None else abs(received), fees)

    def read_rate(self, acronym: str) -> Decimal | None:
        """Ask LNbits, which asks its price source. A rate of 0 means that it has none."""
        answer = self._client.ask("GET", f"/api/v1/rate/{quote(acronym, safe='')}")
        rate: Decimal = answers.take(self._client, answer, "rate", Decimal)
        if rate == 0:
            return None
        if not MIN_RATE <= rate <= MAX_RATE or len(rate.as_tuple().digits) > MAX_RATE_DIGITS:
            raise self._client.fault("responds with an impossible rate")
        return rate

    def check(self) -> Health:
        """Read the wallet: only the admin key, which can pay, is told the wallet's id."""
        try:
            wallet = self._client.ask("GET", "/api/v1/wallet")
            answers.take(self._client, wallet, "balance", int)
        except BackendFault as fault:
            return Health(fault.reason, None)
        return Health(None, "id" in wallet)

    def _read_offer(self, payment: Any) -> Offer:
        return answers.read_offer(self._client, payment, bolt11="bolt11", payment_hash="payment_hash")
