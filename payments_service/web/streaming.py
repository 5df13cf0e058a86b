"""Lists: whole, in pages, or streamed if they are too long to be kept in memory."""
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import flask

from ..codec import encode_items
from ..database import DATABASE_FAULTS
from ..errors import Busy
from ..store.pages import Page
from .addresses import find_root
from .request_state import RequestState, request_state
from .responses import json_response
from .runtime import runtime

# A list of up to this many items is sent whole or rejected. A longer one is read and sent in parts of this size.
MAX_ITEMS_IN_MEMORY = 2000

# Documentation of a paged list.
LINK = {
    "Link": {
        "schema": {"type": "string"},
        "description": 'With limit, if there are more: the address of the next page, as `<{address}>; rel="next"`',
    }
}

ListResponse = flask.Response | tuple[list[Any], int]


class ResponseCutOff(Exception):
    """A response that has begun cannot be completed. The server logs it and closes the connection."""


def page_size(limit: int | None) -> int:
    """Return how many items to read at once: `limit`, or without one what is kept in memory."""
    return limit or MAX_ITEMS_IN_MEMORY


def respond_with_list(pages: Iterator[Page[Any]], limit: int | None) -> ListResponse:
    """Return the first of the pages with a link to the next or, without `limit`, the list of all pages.

    204 for an empty list. Raises `Busy` for a long list if half of the threads already read long lists.
    """
    page = next(pages, None)
    if page is None:
        return [], 204
    if limit is None and page.next_after is not None:
        return _stream(page, pages)
    response = json_response(page.items)
    if page.next_after is not None:
        query = flask.request.args.to_dict() | {"after": page.next_after}
        response.headers["Link"] = f'<{find_root()}{quote(flask.request.path)}?{urlencode(query)}>; rel="next"'
    return response


def _stream(first: Page[Any], others: Iterator[Page[Any]]) -> flask.Response:
    long_lists = runtime().long_lists
    if not long_lists.acquire(blocking=False):
        raise Busy("Other long lists are being sent: try again, or read this one in pages, with limit.")
    # The other pages are sent after Flask has left the contexts of the application and the request.
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    response = flask.Response(_encode_pages(first, others, app, request_state()), mimetype="application/json")
    response.call_on_close(long_lists.release)
    return response


def _encode_pages(
    first: Page[Any], others: Iterator[Page[Any]], app: flask.Flask, state: RequestState
) -> Iterator[bytes]:
    """Yield the JSON text of a list. The last part, which completes it, comes only after all else is read."""
    yield b"[" + encode_items(first.items)
    try:
        while page := _read_page(others, app, state):
            yield b"," + encode_items(page.items)
    except Exception as error:
        raise ResponseCutOff(f"The response to request {state.request_id} was cut off.") from error
    yield b"]\n"


def _read_page(pages: Iterator[Page[Any]], app: flask.Flask, state: RequestState) -> Page[Any] | None:
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
