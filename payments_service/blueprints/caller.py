"""Who makes the current request, for the history."""
import flask

from ..store.history import Caller


def caller() -> Caller:
    """Return the user and the request that the store is to name for what it writes."""
    return Caller(flask.g.user_id, flask.g.request_id)
