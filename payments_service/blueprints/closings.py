"""`/payments/closings`: cash-up."""
import flask
from flask import request
from marshmallow import EXCLUDE

from .. import store
from ..schemas.closings import (
    ARCHIVE_EXAMPLE, CLOSING_ADDED_EXAMPLE, CLOSING_EXAMPLE, CLOSING_INPUT_EXAMPLE, COUNT_SHEET_EXAMPLE,
    JOURNAL_EXAMPLE, OPEN_CLOSING_EXAMPLE, ClosingAddedSchema, ClosingInputSchema, ClosingQuerySchema, ClosingSchema,
    CountSheetSchema, JournalEntrySchema, JournalQuerySchema, OpenClosingSchema,
)
from ..schemas.errors import ErrorBodySchema
from ..store.closings import Count
from ..store.journal import JournalEntry
from ..tokens.permissions import Permission
from ..web.addresses import find_root
from ..web.blueprint import Blueprint
from ..web.idempotency import idempotent
from ..web.request_state import request_state
from ..web.responses import json_response
from ..web.streaming import JSON, JSON_LINES, LINK, make_csv, page_size, respond_with_list

blp = Blueprint(
    "closings",
    __name__,
    url_prefix="/payments/closings",
    description="Cash-up: each closing holds all changes of money since the one before",
)

LOCATION = {"Location": {"schema": {"type": "string"}, "description": "The address of the closing"}}
CSV = make_csv(JournalEntry)
CSV_CONTENT = {CSV.media_type: {"schema": {"type": "string"}, "example": CSV.start.decode()}}

ARCHIVE_CONTENT = {
    JSON_LINES.media_type: {"schema": {"type": "string", "format": "binary"}, "example": ARCHIVE_EXAMPLE},
}
FILE_NAME = {"Content-Disposition": {"schema": {"type": "string"}, "description": "The name of the file"}}


def make_headers_of_new_closing(response: dict[str, int]) -> dict[str, str]:
    """Return where a new closing is."""
    return {"Location": f"{find_root()}/payments/closings/{response['number']}"}


def choose_format(name):
    """Return the format of a journal: that of the query, or else what the Accept header prefers."""
    if name is None:
        preferred = request.accept_mimetypes.best_match(["application/json", "text/csv"])
        name = "csv" if preferred == "text/csv" else "json"
    return CSV if name == "csv" else JSON


@blp.route("/next", methods=["GET"], permission=Permission.READ)
@blp.response(200, OpenClosingSchema, example=OPEN_CLOSING_EXAMPLE)
def get_open_closing():
    """Get what a closing now would hold

    The X report. It changes nothing.
    """
    return json_response(store.closings.read_next())


@blp.route("/next/count-sheet", methods=["GET"], permission=Permission.CREATE)
@blp.response(200, CountSheetSchema, example=COUNT_SHEET_EXAMPLE)
def get_count_sheet():
    """Get what can be counted for the next closing

    The lines that the closing would have, and all methods and currencies, by name. It has no figure, so it needs only
    the permission to close.
    """
    return json_response(store.closings.read_count_sheet())


@blp.route("", methods=["POST"], permission=Permission.CREATE)
@blp.arguments(ClosingInputSchema, example=CLOSING_INPUT_EXAMPLE)
@idempotent(blp, make_headers_of_new_closing, records="The closing {number}")
@blp.response(201, ClosingAddedSchema, example=CLOSING_ADDED_EXAMPLE, headers=LOCATION)
@blp.alt_response(
    409,
    schema=ErrorBodySchema,
    description="Another number is the next one, which a caller with payments_read is told; or an amount is too large",
)
def create_closing(closing):
    """Close

    The closing holds all changes of money since the last one, and never changes again. The response has no figure, so
    that a token without `payments_read` counts without seeing what is expected.
    """
    counts = [Count(**count) for count in closing.get("counts", [])]
    number = store.closings.add(number=closing.get("number"), counts=counts, caller=request_state().caller)
    return {"number": number, "message": "Closing added successfully"}


@blp.route("", methods=["GET"], permission=Permission.READ)
@blp.arguments(ClosingQuerySchema, location="query", as_kwargs=True)
@blp.response(200, ClosingSchema(many=True), example=[CLOSING_EXAMPLE], headers=LINK)
@blp.alt_response(204, description="Nothing was closed yet", success=True)
def list_closings(limit=None, after=0):
    """Get all closings

    Oldest first. With limit, one page, whose Link header has the next.
    """
    return respond_with_list(store.closings.iterate_pages(page_size(limit), after), limit)


@blp.route("/<number:number>", methods=["GET"], permission=Permission.READ)
@blp.response(200, ClosingSchema, example=CLOSING_EXAMPLE)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such closing")
def get_closing(number):
    """Get a closing

    The Z report.
    """
    return json_response(store.closings.get(number))


@blp.route("/<number:number>/postings", methods=["GET"], permission=Permission.READ)
@blp.arguments(JournalQuerySchema, location="query", as_kwargs=True, unknown=EXCLUDE)
@blp.response(200, JournalEntrySchema(many=True), example=JOURNAL_EXAMPLE, headers=LINK)
@blp.doc(responses={200: {"content": CSV_CONTENT}})
@blp.alt_response(204, description="The closing has no postings", success=True)
@blp.alt_response(404, schema=ErrorBodySchema, description="No such closing")
def list_postings_of_closing(number, limit=None, after=0, format=None):
    """Get the journal behind a closing

    Every change of money, in order. With limit, one page, whose Link header has the next.
    """
    pages = store.journal.iterate_closed(page_size(limit), number, after)
    return respond_with_list(pages, limit, choose_format(format))


@blp.route("/next/postings", methods=["GET"], permission=Permission.READ)
@blp.arguments(JournalQuerySchema, location="query", as_kwargs=True, unknown=EXCLUDE)
@blp.response(200, JournalEntrySchema(many=True), example=JOURNAL_EXAMPLE, headers=LINK)
@blp.doc(responses={200: {"content": CSV_CONTENT}})
@blp.alt_response(204, description="The open closing has no postings yet", success=True)
def list_open_postings(limit=None, after=0, format=None):
    """Get the journal of the open closing

    Every change of money since the last closing, in order. With limit, one page, whose Link header has the next.
    """
    return respond_with_list(store.journal.iterate_open(page_size(limit), after), limit, choose_format(format))


@blp.route("/<number:number>/archive", methods=["GET"], permission=Permission.READ)
@blp.response(200, description="The sealed file", headers=FILE_NAME)
@blp.doc(responses={200: {"content": ARCHIVE_CONTENT}})
@blp.alt_response(404, schema=ErrorBodySchema, description="No such closing")
def get_archive_of_closing(number):
    """Get the sealed file of a closing

    JSON Lines with everything that the closing is made of. Its SHA-256 is the closing's hash: keep the file, and
    `sha256sum` shows that it is what the printed report names.
    """
    pages = store.archives.iterate_pages(page_size(None), number)
    response = flask.make_response(respond_with_list(pages, None, JSON_LINES))
    response.headers["Content-Disposition"] = f'attachment; filename="closing-{number}.jsonl"'
    return response
