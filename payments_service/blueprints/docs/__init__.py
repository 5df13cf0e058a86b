"""`/docs`: a page that shows `/openapi.json` and lets a person try its operations."""
from importlib.resources import files

from flask import Response, send_from_directory

from ...web.addresses import find_root
from ...web.blueprint import PUBLIC, Blueprint
from ...web.pages import send_page

blp = Blueprint("docs", __name__)

PAGE = str(files(__name__))
# Only the files of the package are used: its blueprint has an inline script, which the policy below forbids.
SWAGGER_UI = str(files("flask_swagger_ui") / "dist")


@blp.route("/docs", methods=["GET"], permission=PUBLIC)
def get_page():
    """Get the page"""
    return send_page(PAGE)


@blp.route("/", methods=["GET"], permission=PUBLIC)
@blp.route("/docs/", methods=["GET"], permission=PUBLIC)
def lead_to_page():
    """Lead to the page from the addresses that people try"""
    return Response(status=302, headers={"Location": f"{find_root()}/docs"})


@blp.route('/docs/<any("page.css", "page.js"):name>', methods=["GET"], permission=PUBLIC)
def get_file(name):
    """Get a file of the page"""
    return send_from_directory(PAGE, name)


@blp.route('/docs/<any("swagger-ui.css", "swagger-ui-bundle.js"):name>', methods=["GET"], permission=PUBLIC)
def get_swagger_ui_file(name):
    """Get a file of Swagger UI"""
    return send_from_directory(SWAGGER_UI, name)
