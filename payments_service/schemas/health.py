"""The state of the service."""
from marshmallow import fields

from .responses import ResponseSchema

LIVE_EXAMPLE = {"status": "live"}
READY_EXAMPLE = {"status": "ready"}


class HealthSchema(ResponseSchema):
    """The state of the service."""

    status = fields.String(required=True)
