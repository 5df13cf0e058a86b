"""phoenixd (https://phoenix.acinq.co/server), as of version 0.8.0. Its key should be the limited-access password."""
from base64 import b64encode
from decimal import Decimal
from urllib.parse import urlencode

from ..errors import BackendFault
from . import answers
from .backend import Health, Look, Offer
from .client import Client

DEFAULT_URL = "http://127.0.0.1:9740"
# In code units of UTF-16, as phoenixd counts.
MAX_DESCRIPTION_UNITS = 128
FORM = "application/x-www-form-urlencoded"


class Phoenixd:
    """A node of phoenixd. It knows no rates."""

    name = "phoenixd"

    def __init__(self, url: str, key: str) -> None:
        credentials = b64encode(f":{key}".encode()).decode()
        self._client = Client("phoenixd", url, {"Authorization": f"Basic {credentials}"})

    def create_invoice(self, *, external_id: str, sat: int, memo: str, seconds: int) -> Offer:
        """Make an invoice. A memo that is too long for phoenixd is cut off."""
        wanted = {"amountSat": sat, "description": _cut(memo), "expirySeconds": seconds, "externalId": external_id}
        created = self._client.ask("POST", "/createinvoice", urlencode(wanted).encode(), FORM)
        return answers.read_offer(self._client, created, bolt11="serialized", payment_hash="paymentHash")

    def find_invoice(self, external_id: str) -> Offer | None:
        """Return the newest invoice with this id that phoenixd still takes money for."""
        query = urlencode({"externalId": external_id, "all": "true", "limit": 10})
        for payment in answers.items(self._client, self._client.ask("GET", f"/payments/incoming?{query}")):
            if payment.get("externalId") == external_id and payment.get("isExpired") is not True:
                return answers.read_offer(self._client, payment, bolt11="invoice", payment_hash="paymentHash")
        return None

    def look(self, payment_hash: str) -> Look | None:
        """Ask phoenixd. What it says to have received is after its fees for liquidity."""
        answer = self._client.find(f"/payments/incoming/{payment_hash}")
        if answer is None:
            return None
        paid = answers.take(self._client, answer, "isPaid", bool)
        if not paid:
            return Look(False, None, 0)
        fees = answers.take(self._client, answer, "fees", int, 0)
        # It cuts off the millisatoshi, and a guest pays whole satoshi: the rest is what is missing to those.
        received = answers.take(self._client, answer, "receivedSat", int, None)
        return Look(True, None if received is None else received * 1000 + -fees % 1000, fees)

    def read_rate(self, acronym: str) -> Decimal | None:
        """Return None."""
        return None

    def check(self) -> Health:
        """Read the node. Then call an operation that never pays and needs the full password, without its argument."""
        try:
            info = self._client.ask("GET", "/getinfo")
            answers.take(self._client, info, "nodeId", str)
            status, _ = self._client.send("POST", "/lnurlauth", b"", FORM)
        except BackendFault as fault:
            return Health(fault.reason, None)
        return Health(None, {400: True, 401: False}.get(status))


def _cut(memo: str) -> str:
    units = memo.encode("utf-16-le")[:2 * MAX_DESCRIPTION_UNITS]
    # The first half of a character that is two units.
    return units.decode("utf-16-le", "ignore")
