"""The record of a restaurant's payments: by method and currency, and which tickets each one paid.

Another service signs people in: every request carries their access token, in the cookie `accessToken` or in the header
`Authorization: Bearer`, and each operation names the permission that the token has to grant. Amounts are exact JSON
numbers; each currency has a number of decimals. Ids are UUIDs. A retry of a `POST` with the same `Idempotency-Key`
changes nothing. A change with `If-Match` is rejected if the payment was changed meanwhile. Each payment has a history
of everything that was done to it. A closing holds all changes of money since the one before, and never changes.
An error is JSON with `code`, `status`, `message` and, where single fields are invalid, `errors`.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import SettingError, UnusableDatabase

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["SettingError", "UnusableDatabase", "create_app"]
__version__ = "1.2.0"


def create_app(settings: Mapping[str, Any] | None = None) -> Flask:
    """Return the service as a Flask application, with `settings` or else those of the environment.

    `settings` takes the names of docs/installing.md without `PAYMENTS_`. Raises `SettingError` for an invalid value.
    The database is not touched: `payments_service.database.migrate()` brings it up to date.
    """
    # Imported here, so that the store can be imported without Flask.
    from flask import Flask

    from . import blueprints, cli, logs
    from .settings import read_settings
    from .web import access, blueprint, cookies, counting, error_handlers, origins, parsing, paths
    from .web import request_state, responses, runtime

    app = Flask(__name__, static_folder=None)
    app.config.from_mapping(read_settings(settings))
    app.config.from_mapping(
        API_TITLE="Payments",
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={
            "info": {"description": __doc__, "contact": {"name": "The operator of this installation"}},
            "components": {"securitySchemes": access.SECURITY_SCHEMES},
        },
        MAX_CONTENT_LENGTH=parsing.MAX_BODY_BYTES,
    )
    app.json = responses.ExactJSONProvider(app)
    app.url_map.converters |= {"uuid": paths.UUIDInPath, "ticket": paths.TicketInPath, "number": paths.NumberInPath}
    # A redirect would not be JSON, and would lose the body of a POST.
    app.url_map.merge_slashes = False
    app.wsgi_app = cookies.CookieMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    runtime.init_app(app)

    app.before_request(request_state.begin_request)
    app.before_request(access.check_access)
    # Flask calls these in reverse: the log and the metrics see the response as it is sent.
    app.after_request(logs.log_request)
    app.after_request(counting.count_request)
    app.after_request(responses.add_headers)
    app.after_request(origins.allow_trusted_origin)
    app.after_request(paths.correct_allow)
    app.teardown_request(request_state.end_request)
    app.teardown_appcontext(runtime.return_connection)

    documentation = blueprint.AccessDocumentation(app, access.SECURITY_SCHEMES)
    api = error_handlers.Api(app, spec_kwargs={"extra_plugins": [documentation]})
    for operations in blueprints.OPERATIONS:
        api.register_blueprint(operations)
    for page in blueprints.PAGES:
        app.register_blueprint(page)
    for command in cli.COMMANDS:
        app.cli.add_command(command)
    return app
