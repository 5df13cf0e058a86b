"""Ids in paths."""
import functools
import re
import uuid

import flask
from werkzeug.routing import BaseConverter, Map, UUIDConverter, ValidationError

from ..codec import parse_uuid

# The number of a closing, which fits into a BIGINT.
NUMBER = re.compile("[1-9][0-9]{0,17}")


class UUIDInPath(UUIDConverter):
    """Matches any text where a path has a UUID. Text that is not a UUID becomes None, for which the store finds no row.

    With Werkzeug's own converter such a path would match no route, and without a route there is no permission to check.
    """

    regex = r"[^/]+"
    part_isolating = True

    def to_python(self, value: str) -> uuid.UUID | None:  # type: ignore[override]
        """Return the UUID or None; raises ValidationError for a reserved word, which then matches its own route."""
        if value in _find_reserved_words(self.map):
            raise ValidationError
        return parse_uuid(value)


@functools.lru_cache(maxsize=100)
def _find_reserved_words(url_map: Map) -> frozenset[str]:
    """Return the words that routes have where other routes have a UUID: `methods` beside /payments/{id}."""
    rules = [rule.rule for rule in url_map.iter_rules()]
    prefixes = {rule[: rule.index("<uuid:")] for rule in rules if "<uuid:" in rule}
    words = {rule[len(prefix):].split("/")[0] for prefix in prefixes for rule in rules if rule.startswith(prefix)}
    return frozenset(word for word in words if not word.startswith("<"))


def correct_allow(response: flask.Response) -> flask.Response:
    """Leave only a static path's own methods in Allow: Werkzeug adds those of the route with a UUID in its place."""
    if "Allow" in response.headers:
        rules = [rule for rule in flask.current_app.url_map.iter_rules() if rule.rule == flask.request.path]
        if rules:
            response.headers["Allow"] = ", ".join(sorted({method for rule in rules for method in rule.methods or ()}))
    return response


class NumberInPath(BaseConverter):
    """Matches any text where a path has the number of a closing. Text that is none becomes None, as in `UUIDInPath`."""

    regex = r"[^/]+"
    part_isolating = True

    def to_python(self, value: str) -> int | None:
        """Return the number or None."""
        return int(value) if NUMBER.fullmatch(value) else None


class TicketInPath(BaseConverter):
    """A ticket's id in a path: any text, also with slashes, because another service makes the ids."""

    regex = r"[\s\S]+"
    part_isolating = False
