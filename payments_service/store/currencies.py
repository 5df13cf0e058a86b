"""Currencies."""
from typing import Any
from uuid import UUID

from peewee import ModelSelect

from ..database import placeholder, prepared, write
from ..errors import Conflict, Invalid, NotFound
from ..models import Currency
from ..text import INVISIBLE_TOO, has_invisible_end
from . import ids

# The one whose minor unit is the satoshi, whatever its acronym is since.
BITCOIN_ID = UUID("01950000-0000-7000-8000-000000000104")

NO_CURRENCY = "There is no currency with this id."
MAX_ACRONYM_LENGTH = 16

ACRONYM_TAKEN = {"currency_acronym": lambda: Conflict("There is a currency with this acronym already.")}


def list_all() -> list[dict[str, Any]]:
    """Return every currency with its number of decimals, oldest first."""
    return list(Currency.select().order_by(Currency.id).dicts())


def get(currency_id: UUID | None) -> dict[str, Any]:
    """Return a currency with its number of decimals; raises `NotFound`, also for None."""
    currency = by_id.first_dict(id=currency_id)
    if currency is None:
        raise NotFound(NO_CURRENCY)
    return currency


@prepared
def by_id() -> ModelSelect:
    """Select a currency by its id."""
    return Currency.select().where(Currency.id == placeholder(Currency.id))


@write(ACRONYM_TAKEN)
def add(acronym: str, decimals: int) -> UUID:
    """Add a currency and return its id. Its decimals never change: stored amounts are in its minor units.

    Raises `Conflict` for an acronym in use, and `Invalid` for one that is blank, too long, in lower case, or begins or
    ends with a blank or an invisible character.
    """
    _check_acronym(acronym)
    currency_id = ids.make_currency_id()
    Currency.insert(id=currency_id, acronym=acronym, decimals=decimals).execute()
    return currency_id


@write(ACRONYM_TAKEN)
def rename(acronym: str, new_acronym: str) -> None:
    """Rename a currency; raises `NotFound`, and what `add` raises."""
    _check_acronym(new_acronym)
    if not Currency.update(acronym=new_acronym).where(Currency.acronym == acronym).execute():
        raise NotFound(f"There is no currency {acronym!r}.")


def _check_acronym(acronym: str) -> None:
    if not 1 <= len(acronym) <= MAX_ACRONYM_LENGTH or has_invisible_end(acronym):
        limits = f"1 to {MAX_ACRONYM_LENGTH} characters and no blanks around it"
        raise Invalid(acronym=f"An acronym has {limits}. {INVISIBLE_TOO}")
    if acronym != acronym.upper():
        raise Invalid(acronym=f"An acronym is in upper case: {acronym.upper()}.")
