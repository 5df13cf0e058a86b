"""`/docs`: a page that shows `/openapi.json` and lets a browser call what it describes."""
from importlib.resources import files

from flask import send_from_directory

from ...access import PUBLIC, Blueprint

blp = Blueprint("docs", __name__)

PAGE = str(files(__name__))
# The package is Swagger UI's files and a blueprint of its own, which has an inline script.
SWAGGER_UI = str(files("flask_swagger_ui") / "dist")

# Nothing but our own files runs there and nothing but this service is asked: a signed-in browser holds the token.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    # Not no-referrer: where browsers send no Sec-Fetch-Site, a request is known to be ours by its Origin.
    "Referrer-Policy": "same-origin",
}


@blp.route("/docs", methods=["GET"], permission=PUBLIC)
def get_page():
    """Get the page"""
    response = send_from_directory(PAGE, "page.html")
    response.headers.update(HEADERS)
    return response


@blp.route('/docs/<any("page.css", "page.js"):name>', methods=["GET"], permission=PUBLIC)
def get_file(name):
    """Get a file of the page"""
    return send_from_directory(PAGE, name)


@blp.route('/docs/<any("swagger-ui.css", "swagger-ui-bundle.js"):name>', methods=["GET"], permission=PUBLIC)
def get_swagger_ui_file(name):
    """Get a file of Swagger UI"""
    return send_from_directory(SWAGGER_UI, name)
