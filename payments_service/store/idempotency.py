"""Idempotency keys: a retry of a request changes nothing and gets the first response."""
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import NamedTuple

from peewee import Expression, ModelDelete, ModelInsert, ModelSelect, ModelUpdate, Node, Select, Tuple, fn

from ..database import RetryWrite, current, placeholder, prepared, write
from ..errors import KeyReused
from ..models import IdempotencyKey

# The newest keys stay whatever their age: once a wrong clock is set right, a key of today may look years old.
MIN_KEPT_KEYS = 10_000
# Expired keys that are deleted with each new one: few, so that no request takes long.
DELETE_BATCH = 10


class KeyedRequest(NamedTuple):
    """A request with an idempotency key. Keys are scoped by method and path."""

    method: str
    path: str
    key: str


class StoredResponse(NamedTuple):
    """The status and body of a response, and whether it was stored by an earlier request."""

    status: int
    body: str
    replayed: bool = False


# On PostgreSQL another request may store the key after it was looked up here, and this one has to find it.
@write({"idempotency_key_pkey": RetryWrite})
def respond_once(
    request: KeyedRequest,
    fingerprint: str,
    kept_for: timedelta,
    respond: Callable[[], StoredResponse],
    *,
    describe: Callable[[str], str],
    other_fingerprints: Collection[str] = (),
) -> StoredResponse:
    """Return the stored response for a request, or what `respond` returns, stored in one transaction with its writes.

    The key is kept for `kept_for`, and longer while it is one of the newest `MIN_KEPT_KEYS`; if `respond` raises an
    error, nothing is stored. Concurrent requests with the same key wait for the first. `other_fingerprints` are those
    that earlier releases gave the same request.

    Raises `KeyReused`, with what `describe` makes of the stored body, if the key was used for another request.
    """
    this_key = request._asdict()
    stored = _by_key.first_dict(**this_key)
    if stored is not None:
        if stored["fingerprint"] not in {fingerprint, *other_fingerprints}:
            raise KeyReused(describe(stored["answer"]))
        return StoredResponse(stored["status"], stored["answer"], replayed=True)
    now = current.now()
    _insert.execute(**this_key, fingerprint=fingerprint, status=None, answer=None, created_at=now)
    response = respond()
    _complete.execute(**this_key, status=response.status, answer=response.body)
    _delete_expired.execute(now=now, expired=now - kept_for, minus_kept=-MIN_KEPT_KEYS)
    return response


@prepared
def _by_key() -> ModelSelect:
    columns = [IdempotencyKey.fingerprint, IdempotencyKey.status, IdempotencyKey.answer]
    return IdempotencyKey.select(*columns).where(*_this_key())


@prepared
def _insert() -> ModelInsert:
    columns = [field for field in IdempotencyKey._meta.sorted_fields if field is not IdempotencyKey.number]
    return IdempotencyKey.insert({field: placeholder(field) for field in columns} | {"number": _newest_number(plus=1)})


@prepared
def _complete() -> ModelUpdate:
    columns = [IdempotencyKey.status, IdempotencyKey.answer]
    return IdempotencyKey.update({field: placeholder(field) for field in columns}).where(*_this_key())


def _this_key() -> list[Expression]:
    columns = [getattr(IdempotencyKey, name) for name in KeyedRequest._fields]
    return [column == placeholder(column) for column in columns]


def _newest_number(*, plus: int | Node) -> Select:
    """Select the number of the newest key, 0 if there is none, and a difference."""
    keys = IdempotencyKey.alias()
    return keys.select(fn.COALESCE(fn.MAX(keys.number), 0) + plus)


@prepared
def _delete_expired() -> ModelDelete:
    """Delete a few of the oldest keys that are neither among the newest `MIN_KEPT_KEYS` nor young enough."""
    columns = [getattr(IdempotencyKey, name) for name in KeyedRequest._fields]
    # The numbers have no gaps, so the newest keys are at least as many as the numbers.
    oldest = IdempotencyKey.select(*columns, IdempotencyKey.created_at)
    minus_kept = placeholder(IdempotencyKey.number, "minus_kept")
    oldest = oldest.where(IdempotencyKey.number <= _newest_number(plus=minus_kept))
    oldest = oldest.order_by(IdempotencyKey.number).limit(DELETE_BATCH)
    # Keys that another request deletes are skipped: two that wait for each other would deadlock.
    oldest = current.for_update(oldest, skip_locked=True).alias("oldest")
    # Nothing else is known of a key from the future than that many newer ones have been stored.
    expired, now = (placeholder(IdempotencyKey.created_at, name) for name in ("expired", "now"))
    gone = (oldest.c.created_at <= expired) | (oldest.c.created_at > now)
    keys = Select([oldest], [oldest.c[column.name] for column in columns]).where(gone)
    return IdempotencyKey.delete().where(Tuple(*columns).in_(keys))
