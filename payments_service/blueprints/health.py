"""`/health` and `/metrics`: for the box itself, which need no access token. nginx does not pass them on."""
from flask import Response

from .. import examples, metrics, store
from ..access import PUBLIC, Blueprint
from ..errors import ErrorSchema
from ..schemas import HealthSchema

blp = Blueprint("health", __name__, description="For the box that the service runs on")


@blp.route("/health/live", methods=["GET"], permission=PUBLIC)
@blp.response(200, HealthSchema, example=examples.LIVE)
def get_liveness():
    """Tell that the service answers

    Whatever else is wrong. It needs no access token.
    """
    return {"status": "live"}


@blp.route("/health/ready", methods=["GET"], permission=PUBLIC)
@blp.response(200, HealthSchema, example=examples.READY)
@blp.alt_response(503, schema=ErrorSchema, description="It cannot record payments now, and says why")
def get_readiness():
    """Tell that the service can record payments

    Its database is reachable, up to date and takes writes, and its disk has room. It needs no access token.
    """
    store.health.check()
    return {"status": "ready"}


@blp.route("/metrics", methods=["GET"], permission=PUBLIC)
@blp.response(200, {"type": "string"}, content_type=metrics.CONTENT_TYPE, description="Prometheus' text format")
def get_metrics():
    """Get what is counted

    For Prometheus. It needs no access token.
    """
    return Response(metrics.current_metrics(), content_type=metrics.CONTENT_TYPE)
