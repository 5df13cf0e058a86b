"""`/payments/cash-up`: a page for the back office that shows takings and closes them."""
from importlib.resources import files

from flask import Response, send_from_directory

from ...web.addresses import find_root
from ...web.blueprint import PUBLIC, Blueprint
from ...web.pages import send_page

# Whoever opens the page needs no token: only what it asks for does.
blp = Blueprint("cash_up", __name__, url_prefix="/payments")

PAGE = str(files(__name__))
FILES = [
    "page.css", "page.js", "texts.js", "api.js", "money.js", "elements.js", "responses.js", "reports.js", "payments.js",
    "lightning.js", "closings.js", "forms.js",
]


@blp.route("/cash-up", methods=["GET"], permission=PUBLIC)
def get_page():
    """Get the page"""
    return send_page(PAGE)


@blp.route("/cash-up/", methods=["GET"], permission=PUBLIC)
def lead_to_page():
    """Lead to the page from an address that people try"""
    return Response(status=302, headers={"Location": f"{find_root()}/payments/cash-up"})


@blp.route(f"/cash-up/<any({', '.join(map(repr, FILES))}):name>", methods=["GET"], permission=PUBLIC)
def get_file(name):
    """Get a file of the page"""
    return send_from_directory(PAGE, name)
