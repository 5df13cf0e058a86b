"""Query plans of lists, of the query for a new id, and of cash-up"""
import re

import pytest

from ..support.engines import on_sqlite
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, EUR, payment

AFTER = "00000000-0000-0000-0000-0000000007d0"
# The index that each list uses.
LISTS = {
    "": "payment_pkey",
    f"after={AFTER}": "payment_pkey",
    f"method_id={BITCOIN_LIGHTNING}": "payment_method_id",
    f"method_id={BITCOIN_LIGHTNING}&after={AFTER}": "payment_method_id",
    f"currency_id={BTC}": "payment_currency_id",
    f"currency_id={BTC}&after={AFTER}": "payment_currency_id",
    "transaction_id=txn-7": "payment_transaction_id",
    "ticket_id=table-4": "ticket_payment_ticket_id",
    f"ticket_id=table-4&method_id={CASH}": "ticket_payment_ticket_id",
    f"ticket_id=table-4&method_id={CASH}&after={AFTER}": "ticket_payment_ticket_id",
    "ticket_id=table-4&created_from=2026-11-22T00:20:00Z": "ticket_payment_ticket_id",
    "created_from=2026-11-22T01:20:00Z": "payment_created_at",
    f"created_to=2026-11-22T00:34:00Z&after={AFTER}": "payment_created_at",
    "created_from=2026-11-22T00:20:00Z&created_to=2026-11-22T00:21:00Z": "payment_created_at",
    f"currency_id={BTC}&created_to=2026-11-22T00:01:00Z": "payment_created_at",
}


# By whether the engine is SQLite.
BUSINESS_DATE = {
    True: "date('2026-01-01', '+' || (id / 100) || ' days')",
    False: "date '2026-01-01' + CAST(id / 100 AS INTEGER)",
}


@pytest.fixture
def plans_while(app, rows, insert_payments, monkeypatch):
    """Return the query plans of what runs meanwhile, in a database in which each filter selects few payments."""
    insert_payments(
        *(
            {
                "id": f"{number:032x}",
                "transaction_id": f"txn-{number}",
                "method_id": CASH if number % 100 else BITCOIN_LIGHTNING,
                "currency_id": EUR if number % 100 else BTC,
                "created_at": f"2026-11-22 {number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000000+00:00",
            }
            for number in range(5000)
        )
    )
    rows.execute(
        "INSERT INTO ticket_payment (payment_id, ticket_id, linked_at) "
        "SELECT id, 'table-' || substr(transaction_id, 5), created_at FROM payment"
    )
    rows.execute(
        "INSERT INTO history (payment_id, at, request_id, action, after) "
        "SELECT id, created_at, 'request-1', 'created', '{}' FROM payment"
    )
    # A hundred for each closing and day, of which the first is open.
    (first, *_), *_ = rows.all("SELECT id FROM method ORDER BY id")
    (eur, *_), *_ = rows.all("SELECT id FROM currency ORDER BY id")
    rows.execute(
        "INSERT INTO posting (history_id, method_id, currency_id, kind, closing, business_date, minor_units) "
        "SELECT id, ?, ?, 'payment', CASE WHEN id <= 100 THEN 1 ELSE 2 + id / 100 END, "
        f"{BUSINESS_DATE[rows.is_sqlite]}, 100 FROM history ORDER BY id",
        first,
        eur,
    )
    if not rows.is_sqlite:
        rows.execute("VACUUM ANALYZE")
    run = app.extensions["payments"].database.execute_sql
    statements = []

    def observe(sql, params=None, *others, **options):
        statements.append((sql, params))
        return run(sql, params, *others, **options)

    def plans(work):
        monkeypatch.setattr(app.extensions["payments"].database, "execute_sql", observe)
        work()
        explain = "EXPLAIN QUERY PLAN" if rows.is_sqlite else "EXPLAIN"
        with app.app_context():
            return [
                str(line)
                for sql, values in statements
                if re.search('"(payment|posting|history)"', sql)
                for line in run(f"{explain} {sql}", values).fetchall()
            ]

    return plans


@pytest.fixture
def plans_of(client, plans_while):
    """Return the query plans of a list."""
    return lambda query: plans_while(lambda: client.get(f"/payments?limit=10&{query}"))


@pytest.mark.parametrize(("query", "index"), LISTS.items(), ids=LISTS)
def test_each_list_uses_an_index(plans_of, rows, query, index):
    if rows.is_sqlite:
        index = index.replace("payment_pkey", "sqlite_autoindex_payment_1")
    plans = plans_of(query)
    assert [line for line in plans if re.search(rf"(USING|Scan).* {index}\b", line)], plans
    # `page` and `found` are the aliases of subqueries.
    whole = [line for line in plans if re.search(r"SCAN (?!page|found)|Seq Scan on (ticket_)?payment", line)]
    assert not [line for line in whole if query or index not in line], plans


@on_sqlite
@pytest.mark.parametrize("query", LISTS)
def test_no_list_is_sorted(plans_of, query):
    assert not [line for line in plans_of(query) if "TEMP B-TREE" in line]


WHOLE_TABLE = r"(SCAN|Seq Scan on) (payment|history|posting)"


def test_recording_a_payment_uses_indexes_alone(plans_while, client):
    plans = plans_while(lambda: client.post("/payments", json=payment()))
    assert [line for line in plans if "history_payment_id" in line], plans
    assert not [line for line in plans if re.search(WHOLE_TABLE, line)], plans


@pytest.mark.parametrize(
    ("method", "path", "index"),
    [
        ("GET", "/payments/closings/next", "posting_closing_id"),
        ("GET", "/payments/closings/next/postings?limit=10", "posting_closing_id"),
        ("GET", "/payments/takings?from=2026-01-07&to=2026-01-08", "posting_business_date"),
        ("POST", "/payments/closings", "posting_closing_id"),
        ("POST", "/payments/closings", "history_closing_id"),
    ],
)
def test_cash_up_reads_only_its_own_postings(plans_while, client, method, path, index):
    plans = plans_while(lambda: client.open(path, method=method, **({"json": {}} if method == "POST" else {})))
    assert [line for line in plans if index in line], plans
    assert not [line for line in plans if re.search(WHOLE_TABLE, line)], plans
