"""The history: who did what to which payment, and when."""
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from peewee import ModelInsert

from ..codec import encode
from ..database import placeholder, prepared
from ..models import History


class Action(StrEnum):
    """What was done to a payment."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    LINKED = "linked"
    UNLINKED = "unlinked"


class Caller(NamedTuple):
    """Who made a request: the access token's user, None if it names none, and the request's id."""

    user_id: str | None
    request_id: str


def add(
    action: Action, payment_id: UUID, caller: Caller, at: datetime, *, before: Any = None, after: Any = None
) -> None:
    """Add an entry. Call it in the write transaction of the change that it records.

    `before` and `after` are the payment or the link as the API shows it, None where it does not exist.
    """
    _insert.execute(
        payment_id=payment_id,
        at=at,
        user_id=caller.user_id,
        request_id=caller.request_id,
        action=action.value,
        before=before and encode(before).decode(),
        after=after and encode(after).decode(),
    )


@prepared
def _insert() -> ModelInsert:
    columns = [field for field in History._meta.sorted_fields if field is not History.id]
    return History.insert({field: placeholder(field) for field in columns})


def find_latest_time() -> datetime | None:
    """Return the time of the newest entry, None if there is none."""
    latest: datetime | None = History.select(History.at).order_by(History.id.desc()).limit(1).scalar()
    return latest


def list_for_payment(payment_id: UUID | None) -> list[dict[str, Any]]:
    """Return the entries of a payment, oldest first, with `before` and `after` as JSON text."""
    return list(History.select().where(History.payment_id == payment_id).order_by(History.id).dicts())
