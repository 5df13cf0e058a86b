"""Pages of a list."""
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Page(NamedTuple, Generic[Item]):
    """Some items of a list, at least one, and the cursor of the next page, None if there is none.

    The cursor is what a client sends as `after`.
    """

    items: list[Item]
    next_after: str | None
