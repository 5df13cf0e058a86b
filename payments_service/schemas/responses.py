"""What the shapes of all responses have in common."""
from marshmallow import EXCLUDE, Schema


class ResponseSchema(Schema):
    """A shape of responses. Unlike a request's, it documents that fields may be added: a client has to ignore those."""

    class Meta:
        unknown = EXCLUDE
