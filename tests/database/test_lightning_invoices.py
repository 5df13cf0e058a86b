"""The table of Lightning invoices: its constraints, its indexes, and copies of it"""
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from payments_service import create_app, database, store
from payments_service.store.history import Caller
from payments_service.store.lightning_invoices import InvoiceFilter, State

from ..support.engines import on_sqlite
from ..support.payments import EUR, ID, OTHER_ID, UNKNOWN
from ..support.rows import Rows, stored
from ..support.tokens import SECRET

TIME = "2026-11-22 12:00:00.000000+00:00"
NEW = {
    "id": stored(ID),
    "currency_id": stored(EUR),
    "minor_units": 1240,
    "request_id": "request-1",
    "created_at": TIME,
    "state": "new",
    "watched": False,
}
OFFER = {"state": "open", "amount_sat": 12400, "bolt11": "lnbc1", "payment_hash": "0" * 64, "expires_at": TIME}
PAID = {"state": "paid", "payment_id": stored(OTHER_ID), "paid_at": TIME}


@pytest.fixture
def insert(app, rows):
    """Insert invoices without the service."""
    return lambda *invoices: rows.insert("lightning_invoice", *invoices)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"ticket_id": "x" * 255, "asked_sat": 2_100_000_000_000_000, "memo": "x" * 128, "minor_units": 2**63 - 1},
        {"state": "withdrawn"},
        OFFER | {"watched": True, "rate": "1000.0"},
        OFFER | {"state": "withdrawn", "watched": True, "received_msat": 0},
        OFFER | PAID | {"received_msat": 12_400_000},
    ],
    ids=str,
)
def test_a_valid_invoice_is_accepted(insert, row):
    insert(NEW | row)


@pytest.mark.parametrize(
    "row",
    [
        {"id": None},
        {"currency_id": stored(UNKNOWN)},
        {"minor_units": 0},
        {"asked_sat": 0},
        {"asked_sat": 2_100_000_000_000_001},
        {"ticket_id": ""},
        {"memo": "x" * 129},
        {"state": "lost"},
        {"state": "open"},
        {"watched": True},
        {"bolt11": "lnbc1"},
        OFFER | {"state": "new"},
        OFFER | {"amount_sat": None},
        OFFER | {"expires_at": None},
        OFFER | {"payment_hash": "0" * 63},
        OFFER | {"state": "paid"},
        OFFER | PAID | {"watched": True},
        OFFER | PAID | {"state": "open"},
        OFFER | PAID | {"paid_at": None},
        OFFER | {"received_msat": -1},
    ],
    ids=str,
)
def test_an_invalid_invoice_is_rejected(insert, row):
    with pytest.raises(Rows.Rejected):
        insert(NEW | row)


@pytest.mark.parametrize("column", ["id", "bolt11", "payment_hash", "payment_id"])
def test_no_two_invoices_share_what_names_them(insert, column):
    first = NEW | OFFER | PAID
    other = first | {"id": stored(OTHER_ID), "bolt11": "lnbc2", "payment_hash": "1" * 64, "payment_id": stored(ID)}
    with pytest.raises(Rows.Rejected):
        insert(first, other | {column: first[column]})
    insert(first, other)


# The index that each list uses.
LISTS = {
    "watched": "lightning_invoice_watched_number",
    "open": "lightning_invoice_(watched|state)_number",
    "expired": "lightning_invoice_state_number",
    "ticket": "lightning_invoice_ticket_id_number",
    "recent": "lightning_invoice_paid_at",
}
FILTERS = {
    "open": InvoiceFilter(state=State.OPEN),
    "expired": InvoiceFilter(state=State.EXPIRED),
    "ticket": InvoiceFilter(ticket_id="table-7"),
    "recent": InvoiceFilter(paid_from=datetime(2026, 11, 22, 12, 59, tzinfo=UTC)),
}


@pytest.mark.parametrize("name", LISTS)
def test_each_list_uses_an_index(app, rows, insert, monkeypatch, name):
    insert(*(
        NEW | OFFER | PAID | {
            "id": f"{number:032x}",
            "ticket_id": f"table-{number}",
            "bolt11": f"lnbc{number}",
            "payment_hash": f"{number:064x}",
            "payment_id": f"{number + 10**6:032x}",
            "paid_at": f"2026-11-22 12:{number // 60 % 60:02}:{number % 60:02}.000000+00:00",
        }
        for number in range(3600)
    ))
    if not rows.is_sqlite:
        rows.execute("VACUUM ANALYZE")
    current = app.extensions["payments"].database
    run, statements = current.execute_sql, []

    def observe(sql, params=None, *others, **options):
        statements.append((sql, params))
        return run(sql, params, *others, **options)

    monkeypatch.setattr(current, "execute_sql", observe)
    with app.app_context():
        if name == "watched":
            store.lightning_invoices.list_watched()
        else:
            list(store.lightning_invoices.iterate_pages(10, FILTERS[name]))
        explain = "EXPLAIN QUERY PLAN" if rows.is_sqlite else "EXPLAIN"
        plans = [str(line) for sql, values in statements for line in run(f"{explain} {sql}", values).fetchall()]
    assert [line for line in plans if re.search(rf"(USING|Scan).* {LISTS[name]}\b", line)], plans
    assert not [line for line in plans if re.search(r'(SCAN|Seq Scan on) "?(t1|lightning_invoice)', line)], plans


@pytest.fixture
def target_url(postgresql_databases):
    """Create an empty PostgreSQL database."""
    url = postgresql_databases.create()
    yield url
    postgresql_databases.drop(url)


@on_sqlite
def test_a_copy_on_postgresql_has_the_invoices_and_goes_on(app, target_url):
    def add(number):
        fields = {"currency_id": UUID(EUR), "amount": Decimal("12.40"), "ticket_id": "table-4", "amount_sat": 12400}
        caller = Caller("anna", "request-1")
        invoice, is_new = store.lightning_invoices.add(UUID(int=number), **fields, caller=caller)
        assert is_new
        return invoice

    with app.app_context():
        for number in (1, 2, 3):
            add(number)
        expires_at = datetime.now(UTC) + timedelta(minutes=10)
        offer = {"amount_sat": 12400, "rate": "1000.0", "bolt11": "lnbc1", "payment_hash": "0" * 64}
        store.lightning_invoices.store_offer(UUID(int=1), **offer, expires_at=expires_at)
        store.lightning_invoices.settle(UUID(int=1), received_msat=12_400_000, fees_msat=0)
        original = [store.lightning_invoices.find(UUID(int=number)) for number in (1, 2, 3)]
        assert original[0].state is State.PAID
    result = app.test_cli_runner().invoke(args=["copy-to", target_url])
    assert result.exit_code == 0, result.output
    copy = create_app({"DATABASE_URL": target_url, "JWT_SECRET": SECRET})
    with copy.app_context():
        assert [store.lightning_invoices.find(UUID(int=number)) for number in (1, 2, 3)] == original
        assert add(4).number > original[-1].number
        assert not list(store.verifying.find_faults(lambda *_: None))
    database.close(copy)
