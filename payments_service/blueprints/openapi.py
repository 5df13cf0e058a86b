"""`/openapi.json`: the API document."""
from flask import jsonify
from flask_smorest import current_api

from ..web.addresses import find_root
from ..web.blueprint import PUBLIC, Blueprint

blp = Blueprint("openapi", __name__, description="This document")


@blp.route("/openapi.json", methods=["GET"], permission=PUBLIC)
@blp.response(200, {"type": "object"}, description="This document")
def get_openapi_document():
    """Get the API document

    OpenAPI 3.1. Needs no access token.
    """
    return jsonify(current_api.spec.to_dict() | {"servers": [{"url": find_root() or "/"}]})
