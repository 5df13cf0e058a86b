"""Migrations"""
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from playhouse.schema_diff import diff_models

from payments_service import UnusableDatabase, database, models
from payments_service.database import migrating, postgresql

from ..support.engines import on_postgresql
from ..support.migrating import migrate
from ..support.rows import Rows

TABLES = [*(table._meta.table_name for table in models.Table.__subclasses__()), "schema_migration"]


def dump(rows: Rows) -> list[str]:
    """Return the whole content of a database as text."""
    if rows.is_sqlite:
        return list(rows.connection.iterdump())
    catalogue = "SELECT * FROM pg_catalog.{} WHERE {} >= 16384 ORDER BY 1, 2"
    tables = [rows.all(catalogue.format(*table)) for table in [("pg_class", "oid"), ("pg_attribute", "attrelid")]]
    return [str(found) for found in tables + [rows.all(f"SELECT * FROM {name} ORDER BY 1") for name in TABLES]]


@pytest.mark.empty_database
def test_an_empty_database_gets_every_migration(make_new_app):
    assert migrate(make_new_app()) == sorted(path.stem for path in migrating.MIGRATIONS.glob("0*.py"))


def test_a_database_that_is_up_to_date_is_not_changed(app, rows):
    before = dump(rows)
    assert migrate(app) == []
    assert dump(rows) == before


def test_every_installation_starts_with_the_same_rows(make_app, new_database):
    found = []
    for url in (new_database(), new_database()):
        make_app(DATABASE_URL=url)
        rows = Rows(url)
        found.append((rows.all("SELECT * FROM method ORDER BY id"), rows.all("SELECT * FROM currency ORDER BY id")))
        rows.connection.close()
    assert found[0] == found[1]
    assert [len(nouns) for nouns in found[0]] == [4, 4]


@pytest.fixture
def further_migration(tmp_path, monkeypatch):
    """Add a migration with the given body to those of the service."""
    for path in migrating.MIGRATIONS.glob("0*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.setattr(migrating, "MIGRATIONS", tmp_path)
    return lambda body: (tmp_path / "9999_further.py").write_text(f"def up(migrator, db):\n{body}")


def test_a_migration_that_fails_leaves_nothing(app, rows, further_migration):
    further_migration("    db.execute_sql('CREATE TABLE half (id TEXT)')\n    raise RuntimeError\n")
    before = dump(rows)
    with pytest.raises(RuntimeError):
        migrate(app)
    assert dump(rows) == before


def test_one_process_migrates_at_a_time(app, rows, further_migration):
    def probe():
        if not rows.is_sqlite:
            (locked,) = rows.execute("SELECT pg_try_advisory_lock(?)", postgresql.MIGRATION_LOCK_KEY).fetchone()
            return "alone" if not locked else "not alone"
        folder = os.open(app.extensions["payments"].database.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "not alone"
        except BlockingIOError:
            return "alone"
        finally:
            os.close(folder)

    app.extensions["payments"].database.probe = lambda: found.append(probe())
    found = []
    further_migration("    db.probe()\n")
    assert migrate(app) == ["9999_further"]
    assert found == ["alone"]


@pytest.mark.empty_database
def test_many_processes_that_start_at_once_migrate_once(make_new_app):
    apps = [make_new_app() for _ in range(4)]
    with ThreadPoolExecutor(4) as starters:
        taken = list(starters.map(migrate, apps))
    assert sorted(taken) == [[], [], [], sorted(path.stem for path in migrating.MIGRATIONS.glob("0*.py"))]


def test_a_database_of_a_newer_release_is_rejected(app, rows):
    rows.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')")
    with pytest.raises(UnusableDatabase, match="9999_later"):
        migrate(app)


def test_the_models_match_the_migrated_tables(app):
    with app.app_context():
        assert str(diff_models(database.current.obj, models.Table.__subclasses__())) == ""


@on_postgresql
def test_postgresql_has_its_natural_types(app, rows):
    columns = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    types = {(table, column): type for table, column, type in rows.all(columns)}
    assert types["payment", "id"] == types["payment", "method_id"] == types["ticket_payment", "payment_id"] == "uuid"
    assert types["payment", "minor_units"] == "bigint"
    assert types["ticket_payment", "linked_at"] == "timestamp with time zone"
