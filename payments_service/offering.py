"""Making Lightning invoices: a node is asked for one between two write transactions."""
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Context
from typing import Any, NamedTuple
from uuid import UUID

from . import database, store
from .errors import BackendFault, Invalid, Unavailable
from .lightning import Backend, Offer
from .lightning.bolt11 import read_invoice
from .money import MAX_SAT
from .store.history import Caller
from .store.lightning_invoices import MSAT_PER_SAT, StoredInvoice, StoredState

# The node takes money for longer than the invoice is offered: LNbits fails an invoice for good that was paid in time
# while LNbits was down, if it is up again only after the expiry.
GRACE_SECONDS = 3600
# For the product of an amount and a rate.
EXACT = Context(prec=100)

NO_RATE = "The Lightning node has no rate of {}: send amount_sat, or take another method."
IMPOSSIBLE_SAT = "By the node's rate, this is not an amount that can be paid by Lightning."


class _InFlight:
    """The invoices that threads of this process ask nodes for. One thread at a time asks for the same one."""

    def __init__(self) -> None:
        self._ids: set[UUID] = set()
        self._changed = threading.Condition()

    @contextmanager
    def alone(self, invoice_id: UUID) -> Iterator[None]:
        """Wait until no other thread is in here with this id, and keep others out."""
        with self._changed:
            self._changed.wait_for(lambda: invoice_id not in self._ids)
            self._ids.add(invoice_id)
        try:
            yield
        finally:
            with self._changed:
                self._ids.discard(invoice_id)
                self._changed.notify_all()


_in_flight = _InFlight()


class _Offered(NamedTuple):
    """What a node has offered, as it is stored."""

    amount_sat: int
    rate: str | None
    bolt11: str
    payment_hash: str
    expires_at: datetime


def offer(
    backend: Backend,
    invoice_id: UUID,
    *,
    seconds: int,
    wait_for_node: Callable[[], AbstractContextManager[None]],
    caller: Caller,
    **wanted: Any,
) -> bool:
    """Make an invoice that is offered for so many seconds, unless it is there; tell whether this call made it.

    `wanted` is what `store.lightning_invoices.add` takes. The same call again, also after a failure or in another
    process, leads to the same invoice. `wait_for_node` is entered before the node is asked. Raises what it and `add`
    raise, `BackendFault`, and `Unavailable` if the currency needs a rate and the node has none.
    """
    with ExitStack() as held:

        def ask(added: tuple[StoredInvoice, bool]) -> _Offered | None:
            invoice, is_new = added
            if invoice.stored_state != StoredState.NEW:
                return None
            held.enter_context(wait_for_node())
            held.enter_context(_in_flight.alone(invoice_id))
            # Another thread may have asked meanwhile.
            return _ask(backend, store.lightning_invoices.find(invoice_id), is_new, seconds)

        def store_it(offered: _Offered | None) -> bool:
            return offered is not None and store.lightning_invoices.store_offer(invoice_id, **offered._asdict())

        return database.write_around(
            lambda: store.lightning_invoices.add(invoice_id, **wanted, caller=caller), ask, store_it
        )


def _ask(backend: Backend, invoice: StoredInvoice | None, is_new: bool, seconds: int) -> _Offered | None:
    """Return what the node offers, None if it has offered something already. No transaction is open meanwhile."""
    if invoice is None or invoice.stored_state != StoredState.NEW:
        return None
    sat, rate = invoice.fixed_sat, None
    if sat is None:
        sat, rate = _convert(backend, invoice)
    offered_until = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    # An earlier call may have made it, and lost the answer. Nobody has seen that one, so it need not be used.
    made = None if is_new else backend.find_invoice(str(invoice.id))
    if made is None or not _suits(made, sat, offered_until):
        memo, life = invoice.wanted.memo or "", seconds + GRACE_SECONDS
        made = backend.create_invoice(external_id=str(invoice.id), sat=sat, memo=memo, seconds=life)
        if not _suits(made, sat):
            raise BackendFault("the node's invoice has another amount or hash than it should have")
    return _Offered(sat, rate, made.bolt11, made.payment_hash, offered_until)


def _convert(backend: Backend, invoice: StoredInvoice) -> tuple[int, str]:
    """Return an invoice's amount in satoshi, and the node's rate; raises `Unavailable` without a rate.

    Raises `Invalid` for less than a satoshi, and for more than can exist.
    """
    rate = backend.read_rate(invoice.acronym)
    if rate is None:
        raise Unavailable(NO_RATE.format(invoice.acronym))
    sat = int(EXACT.multiply(invoice.amount, rate).to_integral_value(ROUND_HALF_UP, EXACT))
    if not 1 <= sat <= MAX_SAT:
        raise Invalid(amount=IMPOSSIBLE_SAT)
    return sat, f"{rate:f}"


def _suits(offer: Offer, sat: int, offered_until: datetime | None = None) -> bool:
    """Tell whether an invoice is over this amount, has the hash that the node says, and can be paid long enough."""
    try:
        invoice = read_invoice(offer.bolt11)
    except ValueError:
        return False
    is_right = invoice.amount_msat == sat * MSAT_PER_SAT and invoice.payment_hash == offer.payment_hash
    return is_right and (offered_until is None or invoice.expires_at >= offered_until.timestamp())
