"""Write transactions: their errors, retries, and what happens around them"""
import threading
from decimal import Decimal

import peewee
import pytest

from payments_service import database, store
from payments_service.errors import Conflict, Invalid
from payments_service.store.history import Caller

from ..support.payments import CASH, EUR, ID

CALLER = Caller("12", "request-1")
PAYMENT = {"method_id": CASH, "currency_id": EUR, "transaction_id": "", "amount": Decimal("45.50"), "caller": CALLER}


def count_payments(app):
    """Return how many payments the metrics have counted."""
    return app.extensions[database.EXTENSION].metrics.registry.get_sample_value("payments_written_total")


@pytest.fixture
def vouchers(rows):
    """Create a table whose rows refer to payments."""
    id_type = "TEXT" if rows.is_sqlite else "UUID"
    rows.execute(
        f"CREATE TABLE voucher (id INTEGER CONSTRAINT voucher_pkey PRIMARY KEY, reason TEXT UNIQUE, "
        f"payment_id {id_type} NOT NULL REFERENCES payment (id), "
        f"minor_units INTEGER CONSTRAINT voucher_is_positive CHECK (minor_units > 0))"
    )
    return rows


def test_another_child_of_a_payment_keeps_it_from_deletion(client, vouchers, insert_payments):
    insert_payments({})
    (payment_id,) = vouchers.all("SELECT id FROM payment")[0]
    vouchers.execute("INSERT INTO voucher VALUES (1, 'cold soup', ?, 5)", payment_id)
    response = client.delete(f"/payments/{ID}")
    assert response.status_code == 409
    assert "ticket" not in response.json["message"].lower()
    assert client.get(f"/payments/{ID}").status_code == 200


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ("(1, 'b', {}, 1)", "voucher_pkey"),
        ("(2, 'a', {}, 1)", "voucher_reason"),
        ("(2, 'b', {}, 0)", "voucher_is_positive"),
    ],
    ids=["primary key", "unique column", "check"],
)
def test_a_violated_constraint_is_known_by_name(app, vouchers, insert_payments, values, constraint):
    insert_payments({})
    (payment_id,) = vouchers.all("SELECT id FROM payment")[0]
    vouchers.execute("INSERT INTO voucher VALUES (1, 'a', ?, 1)", payment_id)
    if not vouchers.is_sqlite:
        # Peewee names unique indexes without PostgreSQL's "_key".
        vouchers.execute("ALTER INDEX voucher_reason_key RENAME TO voucher_reason")
    attempts = []

    @database.write({constraint: lambda: Invalid(reason="taken")})
    def insert():
        attempts.append(1)
        database.current.execute_sql(f"INSERT INTO voucher VALUES {values.format(repr(str(payment_id)))}")

    with app.app_context(), pytest.raises(Invalid):
        insert()
    assert len(attempts) == 1


def test_another_unique_constraint_is_not_retried(app, vouchers, insert_payments):
    insert_payments({})
    (payment_id,) = vouchers.all("SELECT id FROM payment")[0]
    attempts = []

    @database.write({"payment_transaction_id": database.RetryWrite})
    def insert_twice():
        attempts.append(1)
        for number in (1, 2):
            database.current.execute_sql(f"INSERT INTO voucher VALUES ({number}, 'a', '{payment_id}', 1)")

    with app.app_context(), pytest.raises(peewee.IntegrityError):
        insert_twice()
    assert len(attempts) == 1
    assert vouchers.all("SELECT * FROM voucher") == []


def test_a_payment_is_counted_where_it_is_recorded(app):
    with app.app_context():
        store.payments.add(**PAYMENT)
        store.payments.add(**PAYMENT)
    assert count_payments(app) == 2


def test_a_payment_that_is_rolled_back_is_not_counted(app):
    @database.write()
    def add_and_fail():
        store.payments.add(**PAYMENT)
        raise Conflict("later")

    with app.app_context():
        with pytest.raises(Conflict):
            add_and_fail()
        assert store.payments.count() == 0
    assert count_payments(app) == 0


def test_a_payment_of_a_retried_write_is_counted_once(app):
    attempts = []

    @database.write()
    def add_twice():
        store.payments.add(**PAYMENT)
        attempts.append(1)
        if len(attempts) == 1:
            raise database.RetryWrite("out of date")

    with app.app_context():
        add_twice()
        assert store.payments.count() == 1
    assert count_payments(app) == 1


def test_on_commit_needs_a_write_transaction(app):
    with app.app_context(), pytest.raises(RuntimeError):
        database.on_commit(lambda: None)


def test_work_between_two_writes_holds_no_lock(app):
    def record_elsewhere():
        with app.app_context():
            store.payments.add(**PAYMENT)

    def work(payment_id):
        assert not database.current.in_transaction()
        other = threading.Thread(target=record_elsewhere)
        other.start()
        other.join()
        return payment_id, store.payments.count()

    with app.app_context():
        first, seen = database.write_around(lambda: store.payments.add(**PAYMENT), work, lambda done: done)
        assert seen == 2
        assert store.payments.get(first)


def test_what_was_written_before_failed_work_stays(app):
    def fail(_):
        raise OSError("the network is down")

    with app.app_context():
        with pytest.raises(OSError, match="network"):
            database.write_around(lambda: store.payments.add(**PAYMENT), fail, lambda done: done)
        assert store.payments.count() == 1


def test_a_failure_after_the_work_takes_back_only_its_own_write(app):
    def add_and_fail(_):
        store.payments.add(**PAYMENT)
        raise Conflict("later")

    with app.app_context():
        with pytest.raises(Conflict):
            database.write_around(lambda: store.payments.add(**PAYMENT), lambda done: done, add_and_fail)
        assert store.payments.count() == 1


def test_work_between_two_writes_cannot_run_inside_a_third(app):
    @database.write()
    def write_and_work():
        database.write_around(lambda: None, lambda done: done, lambda done: done)

    with app.app_context(), pytest.raises(RuntimeError):
        write_and_work()
