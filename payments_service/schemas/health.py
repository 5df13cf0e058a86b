"""The state of the service."""
from marshmallow import Schema, fields

LIVE_EXAMPLE = {"status": "live"}
READY_EXAMPLE = {"status": "ready"}


class HealthSchema(Schema):
    """The state of the service."""

    status = fields.String(required=True)
