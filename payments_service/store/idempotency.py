"""Idempotency keys: a retry of a request changes nothing and gets the first response."""
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from peewee import Tuple

from ..database import current, write
from ..errors import KeyReused
from ..models import IdempotencyKey

# Expired keys that are deleted with each new one: few, so that no request takes long.
DELETE_BATCH = 10


class KeyedRequest(NamedTuple):
    """A request with an idempotency key. Keys are scoped by user, method and path."""

    user_id: str
    method: str
    path: str
    key: str


class StoredResponse(NamedTuple):
    """The status and body of a response, and whether it was stored by an earlier request."""

    status: int
    body: str
    replayed: bool = False


@write()
def respond_once(
    request: KeyedRequest, body_sha256: str, kept_for: timedelta, respond: Callable[[], StoredResponse]
) -> StoredResponse:
    """Return the stored response for a request, or what `respond` returns, stored in one transaction with its writes.

    The key expires after `kept_for`; if `respond` raises an error, nothing is stored. Concurrent requests with the same
    key wait for the first. Raises `KeyReused` if the key was used with another body.
    """
    now = datetime.now(timezone.utc)
    columns = {"body_sha256": body_sha256, "status": None, "answer": None, "created_at": now}
    inserted = (
        IdempotencyKey.insert(**request._asdict(), **columns)
        .on_conflict(
            conflict_target=list(request._fields), update=columns, where=IdempotencyKey.created_at <= now - kept_for
        )
        .as_rowcount()
        .execute()
    )
    this_key = [getattr(IdempotencyKey, name) == value for name, value in request._asdict().items()]
    if not inserted:
        stored = IdempotencyKey.select().where(*this_key).get()
        if stored.body_sha256 != body_sha256:
            raise KeyReused("This Idempotency-Key was used with another body: take a new key for a new request.")
        return StoredResponse(stored.status, stored.answer, replayed=True)
    response = respond()
    IdempotencyKey.update(status=response.status, answer=response.body).where(*this_key).execute()
    _delete_expired(now - kept_for)
    return response


def _delete_expired(before: datetime) -> None:
    columns = [getattr(IdempotencyKey, name) for name in KeyedRequest._fields]
    expired = IdempotencyKey.select(*columns).where(IdempotencyKey.created_at <= before)
    oldest = expired.order_by(IdempotencyKey.created_at).limit(DELETE_BATCH)
    # Keys that another transaction deletes or renews are skipped: two that wait for each other would deadlock.
    unlocked = current.for_update(oldest, skip_locked=True)
    IdempotencyKey.delete().where(Tuple(*columns).in_(unlocked)).execute()
