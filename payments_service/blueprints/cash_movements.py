"""`/payments/cash-movements`: cash that is paid into the drawer or out of it."""
from .. import store
from ..schemas.cash_movements import (
    CASH_MOVEMENT_ADDED_EXAMPLE, CASH_MOVEMENT_EXAMPLE, CASH_MOVEMENT_INPUT_EXAMPLE, CashMovementAddedSchema,
    CashMovementInputSchema, CashMovementQuerySchema, CashMovementSchema,
)
from ..tokens.permissions import Permission
from ..web.addresses import find_root
from ..web.blueprint import Blueprint
from ..web.idempotency import idempotent
from ..web.request_state import request_state
from ..web.streaming import LINK, page_size, respond_with_list

blp = Blueprint(
    "cash-movements",
    __name__,
    url_prefix="/payments/cash-movements",
    description="Cash that is paid into the drawer or out of it: float, petty cash, takings carried to the bank",
)

LOCATION = {"Location": {"schema": {"type": "string"}, "description": "The address of the list of cash movements"}}


def make_headers_of_new_movement(_response: dict[str, str]) -> dict[str, str]:
    """Return where a new movement is listed: it has no address of its own that could be read."""
    return {"Location": f"{find_root()}/payments/cash-movements"}


@blp.route("", methods=["POST"], permission=Permission.CREATE)
@blp.arguments(CashMovementInputSchema, example=CASH_MOVEMENT_INPUT_EXAMPLE)
@idempotent(blp, make_headers_of_new_movement, records="The cash movement {id}")
@blp.response(201, CashMovementAddedSchema, example=CASH_MOVEMENT_ADDED_EXAMPLE, headers=LOCATION)
def create_cash_movement(movement):
    """Record that cash is paid in or out

    A movement is never changed or deleted: record another one the other way.
    """
    movement_id = store.cash_movements.add(**movement, caller=request_state().caller)
    return {"id": movement_id, "message": "Cash movement added successfully"}


@blp.route("", methods=["GET"], permission=Permission.READ)
@blp.arguments(CashMovementQuerySchema, location="query", as_kwargs=True)
@blp.response(200, CashMovementSchema(many=True), example=[CASH_MOVEMENT_EXAMPLE], headers=LINK)
@blp.alt_response(204, description="No cash movements found", success=True)
def list_cash_movements(limit=None, after=None, closing=None):
    """Get all cash movements

    Oldest first. With limit, one page, whose Link header has the next.
    """
    return respond_with_list(store.cash_movements.iterate_pages(page_size(limit), closing, after), limit)
