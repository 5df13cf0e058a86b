"""`/health` and `/metrics`: for the box itself, without an access token. nginx does not pass them on."""
from flask import Response

from .. import metrics, store
from ..schemas.errors import ErrorBodySchema
from ..schemas.health import LIVE_EXAMPLE, READY_EXAMPLE, HealthSchema, ReadinessSchema
from ..web.blueprint import PUBLIC, Blueprint
from ..web.clock import check_clock
from ..web.runtime import runtime

blp = Blueprint("health", __name__, description="For the box that the service runs on")


@blp.route("/health/live", methods=["GET"], permission=PUBLIC)
@blp.response(200, HealthSchema, example=LIVE_EXAMPLE)
def get_liveness():
    """Check that the service answers

    Needs no access token.
    """
    return {"status": "live"}


@blp.route("/health/ready", methods=["GET"], permission=PUBLIC)
@blp.response(200, ReadinessSchema, example=READY_EXAMPLE)
@blp.alt_response(503, schema=ErrorBodySchema, description="It cannot record payments now; the message says why")
def get_readiness():
    """Check that the service can record payments

    A payment is recorded and rolled back, and the database's disk has room. A clock that seems wrong is a warning.
    Needs no access token.
    """
    store.health.check()
    warnings = check_clock()
    return {"status": "ready"} | ({"warnings": warnings} if warnings else {})


@blp.route("/metrics", methods=["GET"], permission=PUBLIC)
@blp.response(200, {"type": "string"}, content_type=metrics.CONTENT_TYPE, description="Prometheus' text format")
def get_metrics():
    """Get the metrics

    For Prometheus. Needs no access token.
    """
    return Response(runtime().metrics.render(), content_type=metrics.CONTENT_TYPE)
