"""What the service asks of a Lightning node, whatever software runs it."""
from decimal import Decimal
from typing import NamedTuple, Protocol


class Offer(NamedTuple):
    """An invoice that a node has made, not yet compared with what was asked: see `bolt11.read_invoice`."""

    bolt11: str
    # 64 lower-case hexadecimal digits.
    payment_hash: str


class Look(NamedTuple):
    """What a node says about an invoice at this moment. Not paid never means expired, or never to be paid.

    It has no preimage: a node may give that out before the payment, so it proves nothing.
    """

    paid: bool
    # What the node counts as received, in millisatoshi and after `fees_msat`; None if it is not known or not paid.
    received_msat: int | None
    # What was kept on the way in, such as phoenixd's fees for liquidity.
    fees_msat: int


class Health(NamedTuple):
    """What a check of a node found."""

    # Why the node cannot be used, without the key; None if it responds and accepts the key.
    fault: str | None
    # Whether the key can send money. None: the node does not say.
    can_pay: bool | None


class Backend(Protocol):
    """A Lightning node. Each method makes few calls, each of 10 seconds at most, and may run in several threads.

    All but `check` raise `errors.BackendFault` if the node does not respond, or not as its API promises.
    """

    # As in the setting: lnbits or phoenixd.
    name: str

    def create_invoice(self, *, external_id: str, sat: int, memo: str, seconds: int) -> Offer:
        """Make an invoice over whole satoshi that the node takes money for during `seconds`.

        The caller checks its amount and its hash. After a fault the node may have made it: see `find_invoice`.
        """

    def find_invoice(self, external_id: str) -> Offer | None:
        """Return an invoice that was made with this id, None if the node has none."""

    def look(self, payment_hash: str) -> Look | None:
        """Ask whether an invoice is paid. None: the node does not know the invoice, or cannot tell now."""

    def read_rate(self, acronym: str) -> Decimal | None:
        """Return how many satoshi a unit of this currency is worth, more than zero. None: the node has no rate."""

    def check(self) -> Health:
        """Find out whether the node responds, accepts the key, and would let the key send money. Moves no money."""
