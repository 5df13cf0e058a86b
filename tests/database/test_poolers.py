"""PostgreSQL behind a real PgBouncer, with defaults of the database that the service must not rely on"""
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from payments_service import UnusableDatabase, database

from ..support.clients import client_of
from ..support.engines import on_postgresql
from ..support.history import steps
from ..support.migrating import migrate
from ..support.payments import payment
from ..support.pgbouncer import CONNECTIONS, PGBOUNCER, PgBouncer
from ..support.tokens import make_token

pytestmark = [on_postgresql, pytest.mark.skipif(not PGBOUNCER, reason="pgbouncer is not installed")]

DEFAULTS = {"synchronous_commit": "off", "datestyle": "German, DMY", "lock_timeout": "0"}


@pytest.fixture
def start_pooler(database_url, rows):
    """Start PgBouncer in a pool mode, and return the database's URL through it."""
    (name,) = rows.execute("SELECT current_database()").fetchone()
    for setting, value in DEFAULTS.items():
        rows.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    poolers = []

    def start(mode):
        poolers.append(PgBouncer(database_url, mode))
        return poolers[-1].url()

    yield start
    for pooler in poolers:
        pooler.remove()


@pytest.fixture(params=["session", "transaction"])
def pooled_url(request, start_pooler):
    """Start PgBouncer in both modes in which it can be used."""
    return start_pooler(request.param)


@pytest.fixture
def pooled_app(pooled_url, make_app):
    """Make an application that reaches its database through PgBouncer."""
    return make_app(DATABASE_URL=pooled_url, THREADS=CONNECTIONS)


@pytest.mark.parametrize(
    ("name", "value"), [("synchronous_commit", "on"), ("lock_timeout", "5s"), ("datestyle", "ISO, DMY")]
)
def test_each_write_has_the_settings_it_relies_on(pooled_app, pooled_url, name, value):
    @database.write()
    def show():
        return database.current.execute_sql(f"SHOW {name}").fetchone()[0]

    with pooled_app.app_context():
        assert show() == value
        # In the meantime, PgBouncer's connection may have served others.
        with closing(psycopg.connect(pooled_url, autocommit=True)) as other:
            other.execute("RESET ALL")
        assert show() == value


def test_tills_at_the_same_time_are_all_served(pooled_app):
    def till(number):
        client = client_of(pooled_app, make_token())
        codes = set()
        for count in range(15):
            key = {"Idempotency-Key": f"key-{number}-{count}"}
            body = payment(transaction_id=f"txn-{number}-{count}")
            posted = client.post("/payments", json=body, headers=key)
            codes |= {posted.status_code, client.post("/payments", json=body, headers=key).status_code}
            codes |= {client.get(f"/payments/{posted.json['id']}").status_code}
            codes |= {client.get(f"/payments?transaction_id=txn-{number}-{count}").status_code}
        return codes

    with ThreadPoolExecutor(CONNECTIONS) as tills:
        assert set().union(*tills.map(till, range(CONNECTIONS))) == {200, 201}


def test_a_history_is_read_behind_a_pooler(pooled_app):
    client = client_of(pooled_app, make_token())
    payment_id = client.post("/payments", json=payment()).json["id"]
    assert client.put(f"/payments/{payment_id}", json=payment(transaction_id="txn-2")).status_code == 200
    assert [action for action, _, _ in steps(client, payment_id)] == ["created", "changed"]
    assert pooled_app.test_client().get("/health/ready").status_code == 200


def test_a_pooler_without_transactions_stops_the_start(start_pooler, make_new_app):
    app = make_new_app(DATABASE_URL=start_pooler("statement"))
    with pytest.raises(UnusableDatabase, match="transaction"):
        migrate(app)
