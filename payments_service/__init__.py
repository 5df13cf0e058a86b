"""The record of a restaurant's payments: by method and currency, and which tickets each one paid.

Sign in elsewhere: every request carries the cookie `accessToken`, and each operation names the permission that the
token has to grant. Amounts are JSON numbers and exact; each currency has a number of decimals. Ids are UUIDs.
A `POST` that is sent again with the `Idempotency-Key` that it had does nothing again. A change with `If-Match` is
refused if somebody else was faster. Each payment has a history of all that was done to it.
A request that is refused gets JSON with `code`, `status`, `message` and, where single fields are at fault, `errors`.
"""
from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import access, cli, database, errors, logs, metrics, origins, wire
from .blueprints import currencies, docs, health, methods, openapi, payments, streaming, ticket_payments
from .engines import UnusableDatabase
from .settings import SettingError, read_settings

__all__ = ["SettingError", "UnusableDatabase", "create_app"]
__version__ = "1.2.0"


def create_app(settings: Mapping[str, Any] | None = None) -> Flask:
    """Return the service as a Flask application, set up from `settings` or else from the environment.

    `settings` takes the names of the README without `PAYMENTS_`. Raises `SettingError` for a value that is refused.
    The database is not touched: `payments_service.database.migrate()` brings it up to date.
    """
    app = Flask(__name__, static_folder=None)
    app.config.from_mapping(read_settings(settings))
    app.config.from_mapping(
        API_TITLE="Payments",
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={
            "info": {"description": __doc__},
            "components": {"securitySchemes": access.SECURITY_SCHEMES},
        },
    )
    # Flask runs what is to be done after a request in reverse: these see the answer as it is sent.
    logs.init_app(app)
    metrics.init_app(app)
    wire.init_app(app)
    origins.init_app(app)
    access.init_app(app)
    database.init_app(app)
    cli.init_app(app)
    streaming.init_app(app)
    api = errors.Api(app)
    for noun in (payments, methods, currencies, ticket_payments, openapi, health):
        api.register_blueprint(noun.blp)
    # A page is no operation, so the document that it shows leaves it out.
    app.register_blueprint(docs.blp)
    return app
