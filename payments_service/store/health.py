"""Whether payments can be recorded."""
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

from ..database import DATABASE_FAULTS, current, pending_migrations, write
from ..errors import NotReady, PaymentsError
from ..models import Currency, Method
from . import payments
from .history import Caller
from .idempotency import KeyedRequest, StoredResponse, respond_once

# Any time: nothing that a trial does is kept.
KEYS_KEPT_FOR = timedelta(days=365)


class TrialRolledBack(Exception):
    """A payment could be recorded; this exception rolls it back."""


def check() -> None:
    """Check that a payment can be recorded now; raises `NotReady`.

    The database has to be reachable and up to date, its disk has to have room, and a payment, its history and an
    idempotency key have to be accepted. They are rolled back.
    """
    fault = current.find_fault()
    if fault:
        raise NotReady(fault)
    try:
        pending = pending_migrations()
    except DATABASE_FAULTS as error:
        raise NotReady("The database is out of reach, or cannot be read: see the log.") from error
    if pending:
        raise NotReady(f"The database is not up to date: {', '.join(pending)} is missing. Run migrate, or start again.")
    _check_records()


def _check_records() -> None:
    try:
        _record_and_roll_back()
    except TrialRolledBack:
        return
    except NotReady:
        raise
    except (*DATABASE_FAULTS, PaymentsError) as error:
        raise NotReady("The database records no payments: see the log.") from error


@write()
def _record_and_roll_back() -> None:
    """Record a payment as a request with a key does; always raises an error, which rolls it back."""
    method_id, currency_id = Method.select(Method.id).limit(1).scalar(), Currency.select(Currency.id).limit(1).scalar()
    if not method_id or not currency_id:
        raise NotReady("There is no payment method, or no currency: restore a backup.")

    def record() -> StoredResponse:
        caller = Caller(None, "health")
        payments.add(method_id=method_id, currency_id=currency_id, transaction_id="", amount=Decimal(0), caller=caller)
        return StoredResponse(201, "")

    # A random key: no trial waits for another.
    request = KeyedRequest("POST", "/health/ready", uuid4().hex)
    respond_once(request, "0" * 64, KEYS_KEPT_FOR, record, describe=str)
    raise TrialRolledBack
