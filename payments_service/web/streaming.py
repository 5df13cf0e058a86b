"""Lists: whole, in pages, or streamed if they are too long to be kept in memory."""
import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import flask
import msgspec

from ..codec import encode_items
from ..database import DATABASE_FAULTS
from ..errors import Busy
from ..store.pages import Page
from ..text import disarm
from .addresses import find_root
from .request_state import RequestState, request_state
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


class Format(NamedTuple):
    """How a list is written: the text before its items, of some of them, between two pages, and at the end."""

    media_type: str
    start: bytes
    encode_items: Callable[[list[Any]], bytes]
    between: bytes
    end: bytes


JSON = Format("application/json", b"[", encode_items, b",", b"]\n")
# Lines that are encoded already.
# A sealed file: nothing on the way should take it for text. Generated clients know no type for JSON Lines.
JSON_LINES = Format("application/octet-stream", b"", b"".join, b"", b"")


def make_csv(item: type[msgspec.Struct]) -> Format:
    """Return the format of a list of structs as CSV (RFC 4180) in UTF-8, with the names of their fields in a header.

    The fields are text, amounts or lists of text. No cell of text is one that a spreadsheet would run.
    """
    return Format("text/csv; charset=utf-8", _write_csv([item.__struct_fields__]), _encode_structs, b"", b"")


def _encode_structs(items: list[Any]) -> bytes:
    return _write_csv([_disarm(value) for value in msgspec.structs.astuple(item)] for item in items)


def _write_csv(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _disarm(value: Any) -> str:
    """Return a value as the text of a cell. An amount stays a number, also a negative one."""
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return disarm(", ".join(value) if isinstance(value, list) else str("" if value is None else value))


class ResponseCutOff(Exception):
    """A response that has begun cannot be completed. The server logs it and closes the connection."""


def page_size(limit: int | None) -> int:
    """Return how many items to read at once: `limit`, or without one what is kept in memory."""
    return limit or MAX_ITEMS_IN_MEMORY


def respond_with_list(pages: Iterator[Page[Any]], limit: int | None, format: Format = JSON) -> ListResponse:
    """Return the first of the pages with a link to the next or, without `limit`, the list of all pages.

    204 for an empty list. Raises `Busy` for a long list if half of the threads already read long lists.
    """
    page = next(pages, None)
    if page is None:
        return [], 204
    if limit is None and page.next_after is not None:
        return _stream(page, pages, format)
    text = format.start + format.encode_items(page.items) + format.end
    response = flask.Response(text, content_type=format.media_type)
    if page.next_after is not None:
        query = flask.request.args.to_dict() | {"after": page.next_after}
        response.headers["Link"] = f'<{find_root()}{quote(flask.request.path)}?{urlencode(query)}>; rel="next"'
    return response


def _stream(first: Page[Any], others: Iterator[Page[Any]], format: Format) -> flask.Response:
    long_lists = runtime().long_lists
    if not long_lists.acquire(blocking=False):
        raise Busy("Other long lists are being sent: try again, or read this one in pages, with limit.")
    # The other pages are sent after Flask has left the contexts of the application and the request.
    app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    text = _encode_pages(first, others, format, app, request_state())
    response = flask.Response(text, content_type=format.media_type)
    response.call_on_close(long_lists.release)
    return response


def _encode_pages(
    first: Page[Any], others: Iterator[Page[Any]], format: Format, app: flask.Flask, state: RequestState
) -> Iterator[bytes]:
    """Yield the text of a list. The last part, which completes it, comes only after all else is read."""
    yield format.start + format.encode_items(first.items)
    try:
        while page := _read_page(others, app, state):
            yield format.between + format.encode_items(page.items)
    except Exception as error:
        raise ResponseCutOff(f"The response to request {state.request_id} was cut off.") from error
    yield format.end


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
