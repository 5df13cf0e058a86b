"""The triggers that keep the history as it was written, compared with those that the migrations make."""
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .current import current


class Trigger(NamedTuple):
    """The names of a trigger and of its table."""

    table: str
    name: str


def find_changed_triggers() -> list[str]:
    """Return the names of the triggers that somebody dropped, disabled or changed, or whose function was changed."""
    expected: Mapping[Trigger, str] = current.expected_triggers()
    found: Mapping[Trigger, str] = current.read_triggers()
    return sorted(trigger.name for trigger, definition in expected.items() if found.get(trigger) != definition)


def find_further_triggers(tables: Iterable[str]) -> list[str]:
    """Return the names of triggers of these tables that no migration makes."""
    further = current.read_triggers().keys() - current.expected_triggers().keys()
    return sorted(trigger.name for trigger in further if trigger.table in tables)
