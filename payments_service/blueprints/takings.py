"""`/payments/takings`: what each business day brought."""
from .. import store
from ..schemas.takings import TAKINGS_EXAMPLE, TakingsQuerySchema, TakingsSchema
from ..tokens.permissions import Permission
from ..web.blueprint import Blueprint
from ..web.responses import json_response

blp = Blueprint("takings", __name__, url_prefix="/payments/takings", description="What each business day brought")


@blp.route("", methods=["GET"], permission=Permission.READ)
@blp.arguments(TakingsQuerySchema, location="query", as_kwargs=True)
@blp.response(200, TakingsSchema, example=TAKINGS_EXAMPLE)
@blp.alt_response(204, description="There are no takings on these days", success=True)
def get_takings(first, last):
    """Get the takings of business days

    From the first to the last, 366 at most, by day, method, currency and user.
    """
    takings = store.takings.read(first, last)
    return json_response(takings) if takings else ([], 204)
