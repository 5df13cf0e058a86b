"""Payment methods."""
from typing import Any
from uuid import UUID

from peewee import ModelSelect
from uuid_utils.compat import uuid7

from ..database import given, prepared, write
from ..errors import Conflict, Invalid, NotFound
from ..models import Method

NO_METHOD = "There is no payment method with this id."
NAME_TAKEN = "There is a payment method of this name already."
WRONG_LENGTH = "A name has 1 to 64 characters and no blanks around it."


def list_all() -> list[dict[str, Any]]:
    """Return every method, oldest first."""
    return list(Method.select().order_by(Method.id).dicts())


def get(method_id: UUID | None) -> dict[str, Any]:
    """Return a method; raises `NotFound`, also for None."""
    method = by_id.first(id=method_id)
    if method is None:
        raise NotFound(NO_METHOD)
    return method


@prepared
def by_id() -> ModelSelect:
    """Select a method."""
    return Method.select().where(Method.id == given(Method.id))


@write(unique=lambda: Conflict(NAME_TAKEN), check=lambda: Invalid(name=WRONG_LENGTH))
def add(name: str) -> UUID:
    """Add a method and return its id; raises `Conflict` for a name in use and `Invalid` for one of the wrong length."""
    method_id = uuid7()
    Method.insert(id=method_id, name=name).execute()
    return method_id


@write(unique=lambda: Conflict(NAME_TAKEN), check=lambda: Invalid(name=WRONG_LENGTH))
def rename(name: str, new_name: str) -> None:
    """Give a method another name; raises `NotFound`, and what `add` raises."""
    if not Method.update(name=new_name).where(Method.name == name).execute():
        raise NotFound(f"There is no payment method {name!r}.")
