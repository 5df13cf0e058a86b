"""Currencies."""
import functools
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
def add(acronym: str, decimals: int | None = None) -> UUID:
    """Add a currency and return its id. Its decimals never change: stored amounts are in its minor units.

    ISO 4217 says how many decimals its currencies have, and their ids are the same on every installation. Others need
    `decimals`. Raises `Conflict` for an acronym in use, and for a currency that was renamed. Raises `Invalid` for an
    acronym that is blank, too long, in lower case, or begins or ends with a blank or an invisible character, and for
    decimals that are missing or not those of ISO 4217.
    """
    _check_acronym(acronym)
    decimals = find_decimals(acronym, decimals)
    currency_id = ids.find_known_currency_id(acronym) if acronym in _known_decimals() else ids.make_currency_id()
    renamed = by_id.first_dict(id=currency_id)
    if renamed and renamed["acronym"] != acronym:
        raise Conflict(f"{acronym} is there already. It was renamed to {renamed['acronym']}.")
    Currency.insert(id=currency_id, acronym=acronym, decimals=decimals).execute()
    return currency_id


@write(ACRONYM_TAKEN)
def add_known() -> list[dict[str, Any]]:
    """Add every currency of ISO 4217 that has a minor unit and is not there yet, and return those that were added."""
    there = list_all()
    found_ids, acronyms = ({currency[name] for currency in there} for name in ("id", "acronym"))
    added = [
        {"id": ids.find_known_currency_id(acronym), "acronym": acronym, "decimals": decimals}
        for acronym, decimals in sorted(_known_decimals().items())
        if decimals is not None and acronym not in acronyms
    ]
    added = [currency for currency in added if currency["id"] not in found_ids]
    if added:
        Currency.insert_many(added).execute()
    return added


def find_decimals(acronym: str, decimals: int | None = None) -> int:
    """Return the decimals of ISO 4217, or else those that are given; raises `Invalid`."""
    if acronym not in _known_decimals():
        if decimals is None:
            raise Invalid(decimals=f"ISO 4217 has no currency {acronym}: say how many decimals it has (--decimals).")
        return decimals
    known = _known_decimals()[acronym]
    if known is None:
        raise Invalid(acronym=f"{acronym} has no minor unit in ISO 4217, so no amounts can be recorded in it.")
    if decimals not in (None, known):
        raise Invalid(decimals=f"{acronym} has {known} decimals in ISO 4217.")
    return known


@write(ACRONYM_TAKEN)
def rename(acronym: str, new_acronym: str) -> None:
    """Rename a currency; raises `NotFound`, and what `add` raises."""
    _check_acronym(new_acronym)
    if not Currency.update(acronym=new_acronym).where(Currency.acronym == acronym).execute():
        raise NotFound(f"There is no currency {acronym!r}.")


@functools.cache
def _known_decimals() -> dict[str, int | None]:
    """Return the decimals of each currency of ISO 4217, None for one without a minor unit, such as gold."""
    # Imported here, because only commands need it: it takes 1.5 MiB.
    import iso4217

    # Bitcoin has no code there.
    return {currency.code: currency.exponent for currency in iso4217.Currency} | {"BTC": 8}


def _check_acronym(acronym: str) -> None:
    if not 1 <= len(acronym) <= MAX_ACRONYM_LENGTH or has_invisible_end(acronym):
        limits = f"1 to {MAX_ACRONYM_LENGTH} characters and no blanks around it"
        raise Invalid(acronym=f"An acronym has {limits}. {INVISIBLE_TOO}")
    if acronym != acronym.upper():
        raise Invalid(acronym=f"An acronym is in upper case: {acronym.upper()}.")
