"""The history: who did what to which payment, and when."""
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from peewee import ModelInsert

from ..database import given, prepared
from ..models import History
from ..wire import exact_json


class Caller(NamedTuple):
    """Who makes a request, by the access token; None if that does not tell."""

    user_id: str | None
    request_id: str


def add(
    action: str,
    payment_id: UUID,
    caller: Caller,
    at: datetime,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Record, within the write that does it, what happened to a payment or a link of it.

    `before` and `after` are its values as they are answered, None where there are none.
    """
    _insert.execute(
        payment_id=payment_id,
        at=at,
        user_id=caller.user_id,
        request_id=caller.request_id,
        action=action,
        before=before and exact_json(before),
        after=after and exact_json(after),
    )


@prepared
def _insert() -> ModelInsert:
    return History.insert({field: given(field) for field in History._meta.sorted_fields if field is not History.id})


def latest() -> datetime | None:
    """Return when something was done last, None if nothing was."""
    return History.select(History.at).order_by(History.id.desc()).limit(1).scalar()


def of_payment(payment_id: UUID | None) -> list[dict[str, Any]]:
    """Return what happened to a payment, oldest first, with the values before and after as JSON text."""
    return list(History.select().where(History.payment_id == payment_id).order_by(History.id).dicts())
