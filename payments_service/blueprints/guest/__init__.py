"""`/payments/lightning/{id}/page`: a page for the guest, with the QR code of a Lightning invoice."""
from importlib.resources import files

from flask import send_from_directory

from ...web.blueprint import PUBLIC, Blueprint
from ...web.pages import send_page

# Whoever opens the page needs no token: only what it asks for does.
blp = Blueprint("guest", __name__, url_prefix="/payments/lightning")

PAGE = str(files(__name__))


@blp.route("/<uuid:invoice_id>/page", methods=["GET"], permission=PUBLIC)
def get_page(invoice_id):
    """Get the page"""
    return send_page(PAGE)


@blp.route('/page/<any("page.css", "page.js"):name>', methods=["GET"], permission=PUBLIC)
def get_file(name):
    """Get a file of the page"""
    return send_from_directory(PAGE, name)
