"""Databases on PostgreSQL that sort text as a language does"""
import itertools

import pytest

from ..support.clients import client_of
from ..support.payments import CASH, EUR
from ..support.postgresql import PostgresqlServer, can_make_locales
from ..support.tokens import make_token

pytestmark = pytest.mark.skipif(not can_make_locales(), reason="localedef or the package locales is not installed")

# In these, digits and letters do not sort as hexadecimal digits do: Czech has letters first, Danish sorts "aa" last.
LOCALES = ["cs_CZ", "da_DK"]


@pytest.fixture(scope="module")
def czech_and_danish_server():
    """Start a PostgreSQL server with these locales."""
    server = PostgresqlServer(*LOCALES)
    yield server
    server.remove()


@pytest.fixture(params=LOCALES)
def database_url(request, czech_and_danish_server):
    """Create an empty database that sorts as a language does."""
    name = request.param.lower()
    create = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE '{request.param}.UTF-8' OWNER payments"
    czech_and_danish_server.execute(create)
    yield czech_and_danish_server.url().removesuffix("payments") + name
    czech_and_danish_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ids(app, rows):
    """Insert payments of one moment whose ids begin with many digits and letters. Return the ids in their order."""
    pairs = map("".join, itertools.product("0a1b2c9f", repeat=2))
    ids = [f"0000{pair}00-0000-7000-8000-{number:012x}" for number, pair in enumerate(pairs)]
    columns = {"method_id": CASH, "currency_id": EUR, "minor_units": 1, "created_at": "2026-11-22 12:00:00+00:00"}
    rows.insert("payment", *({"id": payment_id, "transaction_id": payment_id, **columns} for payment_id in ids))
    return sorted(ids)


def test_no_payment_is_missing_from_a_time_span(app, ids):
    query = "created_from=2026-11-22T12:00:00Z&created_to=2026-11-22T13:00:00Z"
    listed = client_of(app, make_token()).get(f"/payments?{query}").json
    assert [payment["id"] for payment in listed] == ids


def test_no_payment_is_missing_from_the_pages_of_a_time_span(app, ids):
    client, page, found = client_of(app, make_token()), "/payments?limit=7&created_from=2026-11-22T12:00:00Z", []
    while page:
        response = client.get(page)
        found += [payment["id"] for payment in response.json]
        page = response.headers.get("Link", "").partition(">")[0].removeprefix("<")
    assert found == ids
