"""Lists that are too long to be kept in memory."""
import threading
from collections.abc import Iterator

import flask

from ..errors import DATABASE_FAULTS, Busy
from ..metrics import count_database_error
from ..store.payments import Page
from ..wire import exact_items

# Up to so many payments a list is answered whole or refused. A longer one is read, and sent, so many at a time.
PART_LIMIT = 2000
EXTENSION = "payments_long_lists"


class BrokenOff(Exception):
    """An answer that has begun cannot be completed. Who serves it logs that and closes the connection."""


def json_list(first: Page, others: Iterator[Page]) -> flask.Response:
    """Return the answer that is a list, of whose pages the others are read while it is sent.

    Raises `Busy` if half of the threads already read long lists: payments need the rest.
    """
    if not first.more:
        return flask.jsonify(first.payments)
    places = flask.current_app.extensions[EXTENSION]
    if not places.acquire(blocking=False):
        raise Busy("Other long lists are being read: try again, or read this one by pages, with limit.")
    # By the time that the others are sent the request is over for Flask.
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    response = flask.Response(_parts(first, others, app, flask.g.request_id), mimetype="application/json")
    response.call_on_close(places.release)
    return response


def _parts(first: Page, others: Iterator[Page], app: flask.Flask, request_id: str) -> Iterator[bytes]:
    """Yield the JSON text of a list; what completes it comes only after all else is read."""
    yield b"[" + exact_items(first.payments)
    try:
        while page := _read(others, app):
            yield b"," + exact_items(page.payments)
    except Exception as error:
        raise BrokenOff(f"The answer to request {request_id} was broken off.") from error
    yield b"]\n"


def _read(pages: Iterator[Page], app: flask.Flask) -> Page | None:
    """Return the next page, None at the end.

    In a context of its own, with which its connection goes back to the pool: the client may take long to read it.
    """
    with app.app_context():
        try:
            return next(pages, None)
        except DATABASE_FAULTS:
            flask.g.database_failed = True
            count_database_error()
            raise


def init_app(app: flask.Flask) -> None:
    """Let `app` read long lists on half of its threads at most."""
    app.extensions[EXTENSION] = threading.BoundedSemaphore(max(1, app.config["THREADS"] // 2))
