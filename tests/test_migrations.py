"""Bringing a database up to date"""
import sqlite3
from pathlib import Path

import pytest
from playhouse.schema_diff import diff_models

from payments_service import database, models

from .conftest import migrate


def dump(database_url):
    connection = sqlite3.connect(database_url.removeprefix("sqlite:///"))
    text = "\n".join(connection.iterdump())
    connection.close()
    return text


def test_an_empty_database_takes_every_migration(make_new_app):
    assert migrate(make_new_app()) == sorted(path.stem for path in database.MIGRATIONS.glob("0*.py"))


def test_a_database_that_is_up_to_date_is_not_changed(app, database_url):
    before = dump(database_url)
    assert migrate(app) == []
    assert dump(database_url) == before


def test_every_installation_starts_with_the_same_rows(make_app, tmp_path: Path):
    dumps = []
    for name in ("one", "other"):
        make_app(DATABASE_URL=f"sqlite:///{tmp_path}/{name}.db")
        lines = dump(f"sqlite:///{tmp_path}/{name}.db").splitlines()
        dumps.append([line for line in lines if 'INTO "method"' in line or 'INTO "currency"' in line])
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) == 8


def test_a_migration_that_fails_leaves_nothing(app, database_url, tmp_path, monkeypatch):
    for path in database.MIGRATIONS.glob("0*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    failing = "def up(migrator, db):\n    db.execute_sql('CREATE TABLE half (id TEXT)')\n    raise RuntimeError\n"
    (tmp_path / "9999_failing.py").write_text(failing)
    before = dump(database_url)
    monkeypatch.setattr(database, "MIGRATIONS", tmp_path)
    with pytest.raises(RuntimeError):
        migrate(app)
    assert dump(database_url) == before


def test_one_process_migrates_at_a_time(app, database_url, tmp_path, monkeypatch):
    for path in database.MIGRATIONS.glob("0*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "9999_probing.py").write_text(
        "import fcntl, os\n"
        "def up(migrator, db):\n"
        "    directory = os.open(os.path.dirname(db.database), os.O_RDONLY)\n"
        "    try:\n"
        "        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    except BlockingIOError:\n"
        "        return\n"
        "    finally:\n"
        "        os.close(directory)\n"
        "    raise AssertionError('another process could migrate now')\n"
    )
    monkeypatch.setattr(database, "MIGRATIONS", tmp_path)
    assert migrate(app) == ["9999_probing"]


def test_a_database_of_a_newer_release_is_refused(app, database_url):
    connection = sqlite3.connect(database_url.removeprefix("sqlite:///"))
    connection.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')")
    connection.commit()
    connection.close()
    with pytest.raises(database.DatabaseTooNew, match="9999_later"):
        migrate(app)


def test_the_models_describe_the_tables_that_the_migrations_build(app):
    with app.app_context():
        tables = [models.Method, models.Currency, models.Payment, models.TicketPayment]
        assert str(diff_models(database.current.obj, tables)) == ""
