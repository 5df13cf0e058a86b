"""What holds after any run of payments, links, refunds and tips"""
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from ..support.examples import same_examples
from ..support.history import steps
from ..support.payments import CASH, CREDIT_CARD, EUR, payment
from ..support.tickets import LINKS, balance

some = settings(same_examples, max_examples=25)
TICKETS = ["a", "b", "c"]

choices, methods, tickets = st.integers(0), st.sampled_from([CASH, CREDIT_CARD]), st.sampled_from(TICKETS)
units = st.integers(0, 2000)
parts = st.one_of(st.none(), st.integers(0, 1000))
operations = st.one_of(
    st.tuples(st.just("pay"), methods, units, units, st.dictionaries(tickets, parts)),
    st.tuples(st.just("pay"), methods, units, units, st.dictionaries(tickets, parts)),
    st.tuples(st.just("change"), choices, methods, units, st.one_of(st.none(), units)),
    st.tuples(st.just("delete"), choices),
    st.tuples(st.just("link"), choices, tickets, parts),
    st.tuples(st.just("unlink"), choices, tickets),
    st.tuples(st.just("unlink_all"), tickets),
    st.tuples(st.just("refund"), choices, methods, st.integers(1, 1000), st.one_of(st.none(), tickets)),
    st.tuples(st.just("refund"), choices, methods, st.integers(1, 1000), st.none()),
    st.tuples(st.just("delete_refund"), choices, choices),
)
runs = st.lists(operations, min_size=1, max_size=20)


def amount(minor_units):
    return Decimal(minor_units).scaleb(-2)


class Till:
    """Plays runs. The service decides what it rejects."""

    def __init__(self, client, rows):
        self.client, self.rows = client, rows
        self.ids = []

    def play(self, run):
        for name, *values in run:
            response = getattr(self, name)(*values)
            assert response is None or response.status_code in (200, 201, 204, 404, 409, 422), response.text

    def path(self, choice):
        return f"/payments/{self.ids[choice % len(self.ids)]}" if self.ids else f"/payments/{CASH}"

    def pay(self, method, minor_units, tip, shares):
        listed = [
            {"ticket_id": ticket} | ({} if part is None else {"amount": amount(part)})
            for ticket, part in shares.items()
        ]
        body = payment(transaction_id="", method_id=method, amount=amount(minor_units), tip=amount(tip), tickets=listed)
        response = self.client.post("/payments", json=body)
        if response.status_code == 201:
            self.ids.append(response.json["id"])
        return response

    def change(self, choice, method, minor_units, tip):
        body = payment(transaction_id="", method_id=method, amount=amount(minor_units))
        return self.client.put(self.path(choice), json=body | ({} if tip is None else {"tip": amount(tip)}))

    def delete(self, choice):
        return self.client.delete(self.path(choice))

    def link(self, choice, ticket, part):
        body = {"payment_id": self.path(choice).rpartition("/")[2], "ticket_id": ticket}
        return self.client.post(LINKS, json=body | ({} if part is None else {"amount": amount(part)}))

    def unlink(self, choice, ticket):
        payment_id = self.path(choice).rpartition("/")[2]
        return self.client.delete(f"{LINKS}?paymentId={payment_id}&ticketId={ticket}")

    def unlink_all(self, ticket):
        return self.client.delete(f"{LINKS}/by-ticket/{ticket}")

    def refund(self, choice, method, minor_units, ticket):
        body = {"amount": amount(minor_units), "method_id": method, "ticket_id": ticket}
        return self.client.post(f"{self.path(choice)}/refunds", json=body)

    def delete_refund(self, choice, which):
        refunds = self.listed(f"{self.path(choice)}/refunds")
        if refunds:
            refund_id = refunds[which % len(refunds)]["id"]
            return self.client.delete(f"{self.path(choice)}/refunds/{refund_id}")
        return None

    def listed(self, path):
        response = self.client.get(path)
        return response.json if response.status_code == 200 else []

    def links(self, payment_id):
        return self.listed(f"{LINKS}/by-payment/{payment_id}")

    def refunds(self, payment_id):
        kept = "id payment_id method_id currency_id amount reason transaction_id ticket_id".split()
        return [{name: found[name] for name in kept} for found in self.listed(f"/payments/{payment_id}/refunds")]


@pytest.fixture
def till(client, rows):
    return Till(client, rows)


@some
@given(run=runs)
def test_what_a_payment_adds_up_agrees_with_its_rows(till, run):
    till.play(run)
    wrong = till.rows.all(
        "SELECT id FROM payment WHERE "
        "refunded_units <> (SELECT coalesce(sum(minor_units), 0) FROM refund WHERE payment_id = payment.id) "
        "OR allocated_units <> "
        "(SELECT coalesce(sum(share_units), 0) FROM ticket_payment WHERE payment_id = payment.id)"
    )
    assert wrong == []


@some
@given(run=runs)
def test_shares_tips_and_what_is_left_make_up_the_payments(till, run):
    till.play(run)
    paid = unclear = Decimal(0)
    for found in till.listed("/payments"):
        links, whole = till.links(found["id"]), found["amount"] - found.get("tip", 0)
        shares = sum(link.get("share", 0) for link in links)
        left = whole - shares
        assert left >= 0
        without = [link for link in links if "share" not in link]
        if len(links) == 1 and without:
            shares, left = whole, 0
        paid += shares
        refunds = till.refunds(found["id"])
        names = {link["ticket_id"] for link in links}
        unnamed = sum(refund["amount"] for refund in refunds if refund["ticket_id"] not in names)
        if len(links) > 1 or len(links) == 1 and not without and left:
            unclear += sum(max(left if link in without else 0, unnamed) for link in links)
    balances = [line for ticket in TICKETS for line in balance(till.client, ticket) or []]
    assert sum(Decimal(line["paid"]) for line in balances) == paid
    assert sum(Decimal(line["unclear"]) for line in balances) == unclear


@some
@given(run=runs)
def test_the_history_rebuilds_links_refunds_and_tips(till, run):
    till.play(run)
    shown = {found["id"]: found for found in till.listed("/payments")}
    for payment_id in till.ids:
        rebuilt, links, refunds = None, {}, {}
        for action, before, after in steps(till.client, payment_id):
            if action in ("created", "changed", "deleted"):
                assert rebuilt == before
                rebuilt = after
            elif action in ("linked", "unlinked"):
                assert links.pop((before or after)["ticket_id"], None) == before
                links |= {after["ticket_id"]: after} if after else {}
            else:
                assert refunds.pop((before or after)["id"], None) == before
                refunds |= {after["id"]: after} if after else {}
        assert rebuilt == shown.get(payment_id)
        assert list(links.values()) == till.links(payment_id)
        assert list(refunds.values()) == till.refunds(payment_id)


@some
@given(run=runs)
def test_postings_add_up_to_payments_refunds_and_tips(till, run):
    till.play(run)
    money, tips = Counter(), Counter()
    for found in till.listed("/payments"):
        money[found["method_id"]] += found["amount"]
        tips[found["method_id"]] += found.get("tip", 0)
        for refund in till.refunds(found["id"]):
            money[refund["method_id"]] -= refund["amount"]
    lines = till.client.get("/payments/closings/next").json["lines"]
    assert {line["currency_id"] for line in lines} <= {EUR}
    for line in lines:
        assert line["expected"] == money[line["method_id"]]
        assert line["tips"] == tips[line["method_id"]]
