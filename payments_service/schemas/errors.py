"""The one shape of all errors."""
from marshmallow import fields

from .responses import ResponseSchema


class ErrorBodySchema(ResponseSchema):
    """Why a request was rejected."""

    code = fields.Integer(required=True, metadata={"description": "The HTTP status", "example": 422})
    status = fields.String(required=True, metadata={"description": "Its name", "example": "Unprocessable Entity"})
    message = fields.String(
        required=True,
        metadata={"description": "What to change", "example": "amount: EUR has 2 decimals."},
    )
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.Dict(keys=fields.String(), values=fields.List(fields.String())),
        metadata={
            "description": "The errors of single fields, by location and field",
            "example": {"json": {"amount": ["EUR has 2 decimals."]}},
        },
    )
