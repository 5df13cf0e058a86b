"""Write transactions."""
import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import peewee

from ..errors import Conflict
from . import timeouts
from .current import current
from .faults import RETRYABLE, error_code, violated_constraint, violates_foreign_key

# Attempts at a write that hits a serialization failure or deadlock.
MAX_ATTEMPTS = 5

P = ParamSpec("P")
R = TypeVar("R")
Before = TypeVar("Before")
Done = TypeVar("Done")
Constraints = Mapping[str, Callable[[], Exception]]


class RetryWrite(peewee.OperationalError):
    """Another write came in between: what this one has read is out of date, so it has to run again.

    An `OperationalError`, so that a write that fails at every attempt becomes a 503.
    """


class _Transaction(threading.local):
    """The functions to call after the commit of this thread's write transaction, None outside of one."""

    after_commit: list[Callable[[], Any]] | None = None


_transaction = _Transaction()


def on_commit(function: Callable[[], Any]) -> None:
    """Call `function` once the current write transaction is committed, and not at all if it is rolled back."""
    if _transaction.after_commit is None:
        raise RuntimeError("on_commit needs a write transaction")
    _transaction.after_commit.append(function)


# `run` maps the errors in a plain try. A generator's context manager would leave a reference cycle with the error, and
# the error holds its cursor, so only the garbage collector would free the cursor. If the cursor's connection to SQLite
# waits for a lock at that time, freeing the cursor stops every thread until that wait ends.
def write(constraints: Constraints | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: make a function one write transaction, which is on the disk when the function returns.

    Called inside of another write, the function is a part of that transaction. It is called again after a serialization
    failure, a deadlock or `RetryWrite`, so it must have no other effect than its queries; `on_commit` is for the rest.

    `constraints` maps the name of a unique or check constraint to the error to raise where it is violated. A violated
    foreign key raises `Conflict`. Other errors pass unchanged.
    """
    errors = constraints or {}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except peewee.IntegrityError as error:
                make_error = _find_error(error, errors)
                if make_error is None:
                    raise
                raise make_error() from error

        @functools.wraps(function)
        def write_transaction(*args: P.args, **kwargs: P.kwargs) -> R:
            if current.in_transaction():
                return run(*args, **kwargs)
            return _retry(lambda: _commit(lambda: run(*args, **kwargs)))

        return write_transaction

    return decorate


def _find_error(error: peewee.IntegrityError, errors: Constraints) -> Callable[[], Exception] | None:
    if violates_foreign_key(error):
        return lambda: Conflict("Other records refer to this one, or one that it refers to is gone.")
    return errors.get(violated_constraint(error))


def _retry(attempt: Callable[[], R]) -> R:
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return attempt()
        except peewee.DatabaseError as error:
            if not isinstance(error, RetryWrite) and error_code(error) not in RETRYABLE:
                raise
    return attempt()


def _commit(function: Callable[[], R]) -> R:
    database = current.obj
    after_commit: list[Callable[[], Any]] = []
    _transaction.after_commit = after_commit
    try:
        with database.write_lock, database.atomic():
            result = function()
        # A payment is acknowledged only if it was not committed to a file that was deleted meanwhile.
        database.check_files()
    finally:
        _transaction.after_commit = None
    for call in after_commit:
        call()
    return result


def write_around(before: Callable[[], Before], work: Callable[[Before], Done], after: Callable[[Done], R]) -> R:
    """Do work that may be slow or reach the network between two short write transactions; return what `after` returns.

    `before` and `after` are writes of their own. `work` gets the result of `before`, and `after` that of `work`. No
    transaction is open and no lock is held while `work` runs. If the process dies in between, only `before` is on the
    disk: `after`, or a retry of the whole, has to be able to go on from there.

    Raises RuntimeError inside of a write transaction, as in an idempotent view.
    """
    if current.in_transaction():
        raise RuntimeError("work between two transactions cannot run inside of a third")
    result = write()(before)()
    done = work(result)
    # What the work took is no time that the database has spent.
    timeouts.restart()
    return write()(after)(done)
