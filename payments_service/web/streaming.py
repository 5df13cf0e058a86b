"""Lists that are too long to be kept in memory."""
from collections.abc import Iterator

import flask

from ..codec import encode_items
from ..database import DATABASE_FAULTS
from ..errors import Busy
from ..store.listing import Page
from .request_state import RequestState, request_state
from .responses import json_response
from .runtime import runtime

# A list of up to this many payments is sent whole or rejected. A longer one is read and sent in parts of this size.
MAX_PAYMENTS_IN_MEMORY = 2000


class ResponseCutOff(Exception):
    """A response that has begun cannot be completed. The server logs it and closes the connection."""


def stream_list(first: Page, others: Iterator[Page]) -> flask.Response:
    """Return the list of all pages as a response; the others are read while it is sent.

    Raises `Busy` if half of the threads already read long lists.
    """
    if not first.has_more:
        return json_response(first.payments)
    long_lists = runtime().long_lists
    if not long_lists.acquire(blocking=False):
        raise Busy("Other long lists are being sent: try again, or read this one in pages, with limit.")
    # The other pages are sent after Flask has left the contexts of the application and the request.
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    response = flask.Response(_encode_pages(first, others, app, request_state()), mimetype="application/json")
    response.call_on_close(long_lists.release)
    return response


def _encode_pages(first: Page, others: Iterator[Page], app: flask.Flask, state: RequestState) -> Iterator[bytes]:
    """Yield the JSON text of a list. The last part, which completes it, comes only after all else is read."""
    yield b"[" + encode_items(first.payments)
    try:
        while page := _read_page(others, app, state):
            yield b"," + encode_items(page.payments)
    except Exception as error:
        raise ResponseCutOff(f"The response to request {state.request_id} was cut off.") from error
    yield b"]\n"


def _read_page(pages: Iterator[Page], app: flask.Flask, state: RequestState) -> Page | None:
    """Return the next page, None at the end.

    Each page is read in a context of its own, which returns the connection to the pool when it ends: the client may
    take long to read the page.
    """
    with app.app_context():
        flask.g.request_state = state
        try:
            return next(pages, None)
        except DATABASE_FAULTS:
            state.database_failed = True
            runtime().metrics.database_errors.inc()
            raise
