"""The state of the service."""
from marshmallow import fields

from .responses import ResponseSchema

LIVE_EXAMPLE = {"status": "live"}
READY_EXAMPLE = {"status": "ready"}


class HealthSchema(ResponseSchema):
    """The state of the service."""

    status = fields.String(required=True)


class ReadinessSchema(HealthSchema):
    """The state of the service, and what may be wrong although it can record payments."""

    warnings = fields.List(fields.String(), metadata={"description": "Absent if there are none"})
