"""Idempotency keys: that the same request again does nothing again."""
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from peewee import Tuple

from ..database import current, write
from ..errors import KeyUsed
from ..models import IdempotencyKey

# How many keys that have expired go with each new one, so that no request waits for long.
REMOVED_AT_ONCE = 10


class KeyedRequest(NamedTuple):
    """A request that carries a key, which belongs to its user, method and path."""

    user_id: str
    method: str
    path: str
    key: str


class Answer(NamedTuple):
    """What is kept of an answer, and whether it was given before."""

    status: int
    text: str
    replayed: bool = False


@write()
def answer_once(request: KeyedRequest, body_sha256: str, kept: timedelta, make_answer: Callable[[], Answer]) -> Answer:
    """Return what `make_answer` returns, in one transaction with all that it writes, or else what it did before.

    The key is forgotten after `kept`, and at once if `make_answer` raises an error. Who uses it meanwhile waits. Raises
    `KeyUsed` if it was used with another body.
    """
    now = datetime.now(timezone.utc)
    columns = {"body_sha256": body_sha256, "status": None, "answer": None, "created_at": now}
    first = (
        IdempotencyKey.insert(**request._asdict(), **columns)
        .on_conflict(
            conflict_target=list(request._fields), update=columns, where=IdempotencyKey.created_at <= now - kept
        )
        .as_rowcount()
        .execute()
    )
    this = [getattr(IdempotencyKey, name) == value for name, value in request._asdict().items()]
    if not first:
        stored = IdempotencyKey.select().where(*this).get()
        if stored.body_sha256 != body_sha256:
            raise KeyUsed("This Idempotency-Key was used with another body: take a new key for a new request.")
        return Answer(stored.status, stored.answer, replayed=True)
    answer = make_answer()
    IdempotencyKey.update(status=answer.status, answer=answer.text).where(*this).execute()
    _remove_expired(now - kept)
    return answer


def _remove_expired(moment: datetime) -> None:
    columns = [getattr(IdempotencyKey, name) for name in KeyedRequest._fields]
    expired = IdempotencyKey.select(*columns).where(IdempotencyKey.created_at <= moment)
    oldest = expired.order_by(IdempotencyKey.created_at).limit(REMOVED_AT_ONCE)
    # Not those that others remove or take anew at the moment.
    removable = current.for_update(oldest, skip_locked=True)
    IdempotencyKey.delete().where(Tuple(*columns).in_(removable)).execute()
