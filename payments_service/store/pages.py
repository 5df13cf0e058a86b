"""Pages of a list."""
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from peewee import Field, ModelSelect

Item = TypeVar("Item")


class Page(NamedTuple, Generic[Item]):
    """Some items of a list, at least one, and the cursor of the next page, None if there is none.

    The cursor is what a client sends as `after`.
    """

    items: list[Item]
    next_after: str | None


def iterate_rows(
    query: ModelSelect, key: Field, size: int, after: Any = None
) -> Iterator[tuple[list[tuple[Any, ...]], str | None]]:
    """Yield the rows of a query in pages of `size`, each with the cursor of the next page; nothing if there are none.

    `key` is unique and the first column of the query. The rows are in its order. `after` is the last key to leave out,
    None for none; it need not exist.
    """
    query = query.order_by(key).limit(size + 1)
    has_more = True
    while has_more:
        rows = list((query if after is None else query.where(key > after)).tuples())
        has_more = len(rows) > size
        if rows:
            rows = rows[:size]
            after = rows[-1][0]
            yield rows, str(after) if has_more else None
