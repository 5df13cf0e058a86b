"""Which entries of a dump of PostgreSQL are the service's: the database may hold tables of other programs too."""
import re
from typing import NamedTuple

from ..database.postgresql import APPEND_ONLY, FUNCTIONS, TRIGGERS
from ..database.triggers import Trigger
from ..models import TABLES

# A line of `pg_restore --list`: an id, two numbers, the kind, the schema, the name and the owner. What belongs to a
# table has the table's name before its own, but for an index, which has only its own.
ENTRY = re.compile(
    r"\d+; \d+ \d+ (?P<kind>TABLE DATA|TABLE|SEQUENCE OWNED BY|SEQUENCE SET|SEQUENCE|DEFAULT|INDEX|CONSTRAINT|"
    r"CHECK CONSTRAINT|FK CONSTRAINT|TRIGGER) (?P<schema>\S+) (?P<name>\S+) (?:(?P<part>\S+) )?\S+"
)
CREATE_INDEX = re.compile(r"^CREATE (?:UNIQUE )?INDEX (\S+) ON (?:ONLY )?(\S+) ", re.MULTILINE)
SEQUENCES = {f"{table}_id_seq" for table in TABLES} | {"lightning_invoice_number_seq"}


class OwnEntries(NamedTuple):
    """The schema of the service's tables in a dump, and the lines of `pg_restore --list` that are the service's."""

    schema: str
    lines: list[str]

    def functions(self) -> str:
        """Return the SQL that creates the trigger functions of the dump: pg_dump leaves them out if it dumps tables.

        An older dump has not all of them. The migrations create the others.
        """
        entries = [entry for line in self.lines if (entry := ENTRY.match(line))]
        used = {APPEND_ONLY[entry["name"]] for entry in entries if entry["kind"] == "TRIGGER"}
        return "\n".join(
            f"CREATE FUNCTION {self.schema}.{name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$;"
            for name, body in FUNCTIONS.items()
            if name in used
        )


def find_own_entries(listing: str, statements: str) -> OwnEntries | None:
    """Return the service's entries of a dump, or None if not exactly one of its schemas has the service's tables.

    `listing` is the output of `pg_restore --list`; `statements` are those of the dump that create indexes.
    """
    entries = [entry for line in listing.splitlines() if (entry := ENTRY.match(line))]
    tables = {(entry["schema"], entry["name"]) for entry in entries if entry["kind"] == "TABLE"}
    schemas = [schema for schema, name in tables if name == "payment" and (schema, "schema_migration") in tables]
    if len(schemas) != 1:
        return None
    (schema,) = schemas
    own_tables = {f"{schema}.{table}" for table in TABLES}
    indexes = {name for name, table in CREATE_INDEX.findall(statements) if table in own_tables}
    own = [entry for entry in entries if entry["schema"] == schema and _is_own(entry, indexes)]
    return OwnEntries(schema, [entry.string for entry in own])


def _is_own(entry: re.Match[str], indexes: set[str]) -> bool:
    kind, name = entry["kind"], entry["name"]
    if kind == "INDEX":
        return name in indexes
    if kind == "TRIGGER":
        return Trigger(name, entry["part"]) in TRIGGERS
    return name in (SEQUENCES if kind.startswith("SEQUENCE") else TABLES)
