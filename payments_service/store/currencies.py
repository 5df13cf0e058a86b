"""Currencies."""
from typing import Any
from uuid import UUID

from peewee import ModelSelect
from uuid_utils.compat import uuid7

from ..database import given, prepared, write
from ..errors import Conflict, Invalid, NotFound
from ..models import Currency

NO_CURRENCY = "There is no currency with this id."
ACRONYM_TAKEN = "There is a currency of this acronym already."
WRONG_LENGTH = "An acronym has 1 to 16 characters and no blanks around it."


def list_all() -> list[dict[str, Any]]:
    """Return every currency with its number of decimals, oldest first."""
    return list(Currency.select().order_by(Currency.id).dicts())


def get(currency_id: UUID | None) -> dict[str, Any]:
    """Return a currency with its number of decimals; raises `NotFound`, also for None."""
    currency = by_id.first(id=currency_id)
    if currency is None:
        raise NotFound(NO_CURRENCY)
    return currency


@prepared
def by_id() -> ModelSelect:
    """Select a currency."""
    return Currency.select().where(Currency.id == given(Currency.id))


@write(unique=lambda: Conflict(ACRONYM_TAKEN), check=lambda: Invalid(acronym=WRONG_LENGTH))
def add(acronym: str, decimals: int) -> UUID:
    """Add a currency and return its id. Its decimals stay for good: stored amounts count in them.

    Raises `Conflict` for an acronym in use, and `Invalid` for one of the wrong length.
    """
    currency_id = uuid7()
    Currency.insert(id=currency_id, acronym=acronym, decimals=decimals).execute()
    return currency_id


@write(unique=lambda: Conflict(ACRONYM_TAKEN), check=lambda: Invalid(acronym=WRONG_LENGTH))
def rename(acronym: str, new_acronym: str) -> None:
    """Give a currency another acronym; raises `NotFound`, and what `add` raises."""
    if not Currency.update(acronym=new_acronym).where(Currency.acronym == acronym).execute():
        raise NotFound(f"There is no currency {acronym!r}.")
