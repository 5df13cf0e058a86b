"""Payment methods."""
from typing import Any
from uuid import UUID

from peewee import ModelSelect

from ..database import placeholder, prepared, write
from ..errors import Conflict, Invalid, NotFound
from ..models import Method
from ..text import INVISIBLE_TOO, has_invisible_end
from . import ids

# The one that every installation has for Lightning payments, whatever it is named since.
LIGHTNING_ID = UUID("01950000-0000-7000-8000-000000000004")

NO_METHOD = "There is no payment method with this id."
MAX_NAME_LENGTH = 64

NAME_TAKEN = {"method_name": lambda: Conflict("There is a payment method with this name already.")}


def list_all() -> list[dict[str, Any]]:
    """Return every method, oldest first."""
    return list(Method.select().order_by(Method.id).dicts())


def get(method_id: UUID | None) -> dict[str, Any]:
    """Return a method; raises `NotFound`, also for None."""
    method = by_id.first_dict(id=method_id)
    if method is None:
        raise NotFound(NO_METHOD)
    return method


@prepared
def by_id() -> ModelSelect:
    """Select a method by its id."""
    return Method.select().where(Method.id == placeholder(Method.id))


@write(NAME_TAKEN)
def add(name: str, cash: bool = False) -> UUID:
    """Add a method and return its id; `cash` says whether its money is in a drawer that is counted.

    Raises `Conflict` for a name in use, and `Invalid` for one that is blank or too long, or that begins or ends with a
    blank or an invisible character.
    """
    check_name(name)
    method_id = ids.make_method_id()
    Method.insert(id=method_id, name=name, cash=cash).execute()
    return method_id


@write(NAME_TAKEN)
def rename(name: str, new_name: str) -> None:
    """Rename a method; raises `NotFound`, and what `add` raises."""
    check_name(new_name)
    if not Method.update(name=new_name).where(Method.name == name).execute():
        raise NotFound(f"There is no payment method {name!r}.")


def check_name(name: str) -> None:
    """Raise `Invalid` for a name that no method can have."""
    if not 1 <= len(name) <= MAX_NAME_LENGTH or has_invisible_end(name):
        raise Invalid(name=f"A name has 1 to {MAX_NAME_LENGTH} characters and no blanks around it. {INVISIBLE_TOO}")
