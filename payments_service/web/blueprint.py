"""The blueprint whose routes declare a permission, and what follows from that for the API document."""
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple

import flask
import flask_smorest
from apispec import BasePlugin
from marshmallow import Schema

from ..tokens.permissions import Permission
from .error_handlers import make_error_body
from .origins import SAFE_METHODS
from .parsing import MAX_BODY_BYTES, StrictParser

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# Marks a route that needs no token.
PUBLIC: Final = "public"


class Owners(NamedTuple):
    """The permission that is enough for whoever made what a path names, and what finds that user by the path's ids."""

    permission: Permission
    find_user: Callable[..., str | None]


class Blueprint(flask_smorest.Blueprint):
    """A blueprint whose every route declares the permission that it needs."""

    ARGUMENTS_PARSER = StrictParser()

    def route(
        self, rule: str, *, permission: Permission | Literal["public"], owners: Owners | None = None, **options: Any
    ) -> Decorator:
        """Register a view at `rule` for requests whose access token grants `permission`, and for `owners`."""
        register = super().route(rule, **options)

        def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
            view.permission = permission  # type: ignore[attr-defined]
            view.owners = owners  # type: ignore[attr-defined]
            registered: Callable[..., Any] = register(view)
            return registered

        return decorator

    def arguments(self, schema: type[Schema] | Schema, **options: Any) -> Decorator:
        """Read a view's arguments by a schema. For a class, webargs would make an instance for each request."""
        decorator: Decorator = super().arguments(schema() if isinstance(schema, type) else schema, **options)
        return decorator


class AccessDocumentation(BasePlugin):
    """apispec plugin: document each operation's name and permission, and the errors that follow from what it takes."""

    def __init__(self, app: flask.Flask, security_schemes: Iterable[str]) -> None:
        self.app = app
        self.security_schemes = security_schemes

    def operation_helper(
        self, path: str | None = None, operations: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Complete the operations of a route."""
        endpoint = kwargs["rule"].endpoint
        view = self.app.view_functions[endpoint]
        permission = getattr(view, "permission")
        for method, operation in (operations or {}).items():
            operation["operationId"] = _name_operation(endpoint)
            if permission == PUBLIC:
                operation["security"] = []
                continue
            self._document(operation, method.upper(), permission, getattr(view, "further_errors", {}))
            if owners := getattr(view, "owners"):
                more = f"Whoever has made it needs only `{owners.permission}`."
                *texts, needed = operation["description"].split("\n\n")
                operation["description"] = "\n\n".join([*texts, more, needed])

    def _document(
        self, operation: dict[str, Any], method: str, permission: Permission, further_errors: dict[int, str]
    ) -> None:
        responses = operation["responses"]
        for code, description in _describe_errors(operation, method, permission).items():
            if code in further_errors:
                description += f", or {further_errors[code]}"
            schema = {"application/json": {"schema": "ErrorBody"}}
            responses[code] = {"description": description, "content": schema}
        responses[503]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}}
        for status, response in responses.items():
            # 422 keeps the example of the schema, which has a field.
            if status >= 400 and status != 422:
                example = make_error_body(status, f"{response['description']}.")
                response["content"]["application/json"]["example"] = example
        texts = [operation.get("description"), f"Needs the permission `{permission}`."]
        operation["description"] = "\n\n".join(text for text in texts if text)
        # OpenAPI 3.1 allows permissions here also for schemes that are not OAuth 2.
        operation["security"] = [{scheme: [str(permission)]} for scheme in self.security_schemes]


def _name_operation(endpoint: str) -> str:
    """Return the name of an endpoint's view as generated clients know it: list_payments as listPayments."""
    verb, *nouns = endpoint.rpartition(".")[2].split("_")
    return verb + "".join(noun.capitalize() for noun in nouns)


def _describe_errors(operation: dict[str, Any], method: str, permission: Permission) -> dict[int, str]:
    """Return the errors that an operation can have by its permission, its method and its arguments."""
    errors = {
        401: "The access token is missing or not valid",
        403: f"The access token does not grant {permission}",
        503: "The database or the keys of access tokens are not available; Retry-After says when to retry",
    }
    if method not in SAFE_METHODS:
        errors[403] += ", or a page of another origin sent the request"
    if "requestBody" in operation:
        errors |= {
            400: "The body is not JSON",
            413: f"The body is over {MAX_BODY_BYTES // 1024} KiB",
            415: "The Content-Type is not JSON",
        }
    if 422 in operation["responses"]:
        errors[422] = "A field is missing, unknown or invalid"
    return errors
