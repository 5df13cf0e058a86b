"""The permissions that an access token can grant."""
from enum import StrEnum


class Permission(StrEnum):
    """A permission, as the API page names it."""

    READ = "payments_read"
    CREATE = "payments_create"
    UPDATE = "payments_update"
    DELETE = "payments_delete"
