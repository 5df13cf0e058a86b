"""The ids of new payments, methods and currencies: each sorts after all that are stored"""
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from ..support.engines import on_sqlite
from ..support.rows import stored

FAR_AHEAD = "0fffffff-ffff-7000-8000-000000000000"


@pytest.fixture
def record(client: FlaskClient, add_payment):
    """Record payments and return their ids."""
    return lambda count=1: [add_payment() for _ in range(count)]


def list_after(client: FlaskClient, payment_id: str) -> list[str]:
    """Return the ids of the payments after an id."""
    response = client.get(f"/payments?after={payment_id}")
    return [found["id"] for found in response.json] if response.status_code == 200 else []


@pytest.mark.parametrize(
    "newest",
    [
        FAR_AHEAD,
        "0fffffff-ffff-7fff-bfff-ffffffffffff",
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "f47ac10b-58cc-8fff-ffff-ffffffffffff",
        "ffffffff-fffd-7fff-bfff-ffffffffffff",
    ],
    ids=["far ahead", "the last of its millisecond", "version 4", "version 8", "near the end"],
)
def test_new_ids_follow_an_id_that_was_made_by_hand(client, record, insert_payments, newest):
    insert_payments({"id": newest})
    recorded = record(2)
    assert [UUID(new).version for new in recorded] == [7, 7]
    assert list_after(client, newest) == recorded


@pytest.mark.parametrize("last", ["ffffffff-ffff-7fff-bfff-ffffffffffff", "ffffffff-ffff-ffff-ffff-ffffffffffff"])
def test_an_id_that_none_can_follow_disturbs_no_others(client, record, insert_payments, last):
    insert_payments({"id": last, "transaction_id": "last"}, {"id": FAR_AHEAD, "transaction_id": "far ahead"})
    recorded = record(3)
    assert list_after(client, FAR_AHEAD) == [*recorded, last]


@on_sqlite
@pytest.mark.parametrize("text", ["legacy-1", "1", "8zzz", ""])
def test_text_that_is_no_id_keeps_no_payment_out(record, insert_payments, text):
    insert_payments({"id": text})
    (recorded,) = record()
    assert UUID(recorded).version == 7


def test_new_ids_follow_the_id_of_a_deleted_payment(client, record, insert_payments):
    insert_payments({"id": FAR_AHEAD})
    assert client.delete(f"/payments/{FAR_AHEAD}").status_code == 204
    recorded = record(2)
    assert list_after(client, FAR_AHEAD) == recorded


@pytest.mark.parametrize(
    ("command", "row"),
    [
        (["methods", "add", "Voucher"], {"name": "far ahead"}),
        (["currencies", "add", "POINTS", "--decimals", "0"], {"acronym": "XXX", "decimals": 0}),
    ],
    ids=["method", "currency"],
)
def test_a_method_or_currency_follows_those_added_before(app, rows, command, row):
    rows.insert("method" if "name" in row else "currency", {"id": stored(FAR_AHEAD)} | row)
    run = app.test_cli_runner().invoke
    added = run(args=command).output.strip()
    listed = run(args=[command[0], "list"]).output.splitlines()
    assert [line.split()[0] for line in listed[-2:]] == [FAR_AHEAD, added]
