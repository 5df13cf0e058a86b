"""The history after a random run of operations"""
import random
from decimal import Decimal

import pytest

from ..support.history import steps
from ..support.payments import BITCOIN_LIGHTNING, BTC, CASH, CREDIT_CARD, EUR, NOBODY

LINKS = "/payments/ticket-payments"


class Model:
    """The expected histories after random operations, derived from their responses."""

    def __init__(self, client, seed):
        self.client, self.random = client, random.Random(seed)
        self.payments, self.links, self.histories = {}, set(), {}

    def body(self):
        currency, decimals = self.random.choice([(EUR, 2), (BTC, 8)])
        amount = Decimal(self.random.randrange(10**12)).scaleb(-decimals)
        method = self.random.choice([CASH, CREDIT_CARD, BITCOIN_LIGHTNING])
        return {"method_id": method, "currency_id": currency, "transaction_id": "", "amount": amount}

    def record(self, payment_id, action, before, after):
        self.histories[payment_id].append((action, before, after))

    def any_payment(self):
        return self.random.choice([*self.payments, NOBODY])

    def create(self):
        body = self.body() | {"transaction_id": self.random.choice(["", f"txn-{self.random.randrange(40)}"])}
        taken = body["transaction_id"] in [stored["transaction_id"] for stored in self.payments.values()]
        response = self.client.post("/payments", json=body)
        assert response.status_code == (409 if taken else 201)
        if not taken:
            payment_id = response.json["id"]
            body |= {"id": payment_id, "transaction_id": body["transaction_id"] or payment_id}
            self.payments[payment_id], self.histories[payment_id] = body, []
            self.record(payment_id, "created", None, body)

    def change(self):
        payment_id, body = self.any_payment(), self.body()
        response = self.client.put(f"/payments/{payment_id}", json=body)
        assert response.status_code == (200 if payment_id in self.payments else 404)
        if payment_id in self.payments:
            before = self.payments[payment_id]
            self.payments[payment_id] = before | body | {"transaction_id": before["transaction_id"]}
            self.record(payment_id, "changed", before, self.payments[payment_id])

    def delete(self):
        payment_id = self.any_payment()
        linked = any(payment_id == linked for linked, _ in self.links)
        expected = 404 if payment_id not in self.payments else 409 if linked else 204
        assert self.client.delete(f"/payments/{payment_id}").status_code == expected
        if expected == 204:
            self.record(payment_id, "deleted", self.payments.pop(payment_id), None)

    def link(self):
        payment_id, ticket_id = self.any_payment(), f"t-{self.random.randrange(5)}"
        values = {"payment_id": payment_id, "ticket_id": ticket_id}
        expected = 422 if payment_id not in self.payments else 409 if (payment_id, ticket_id) in self.links else 201
        assert self.client.post(LINKS, json=values).status_code == expected
        if expected == 201:
            self.links.add((payment_id, ticket_id))
            self.record(payment_id, "linked", None, values)

    def unlink(self):
        payment_id, ticket_id = self.any_payment(), f"t-{self.random.randrange(5)}"
        expected = 204 if (payment_id, ticket_id) in self.links else 404
        assert self.client.delete(f"{LINKS}?paymentId={payment_id}&ticketId={ticket_id}").status_code == expected
        if expected == 204:
            self.forget(payment_id, ticket_id)

    def unlink_all(self):
        ticket_id = f"t-{self.random.randrange(5)}"
        assert self.client.delete(f"{LINKS}/by-ticket/{ticket_id}").status_code == 204
        for payment_id in [linked for linked, ticket in self.links if ticket == ticket_id]:
            self.forget(payment_id, ticket_id)

    def forget(self, payment_id, ticket_id):
        self.links.remove((payment_id, ticket_id))
        self.record(payment_id, "unlinked", {"payment_id": payment_id, "ticket_id": ticket_id}, None)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_history_matches_a_random_run_of_operations(client, rows, seed):
    model = Model(client, seed)
    for _ in range(200):
        model.random.choice(
            [model.create, model.create, model.change, model.delete, model.link, model.link, model.unlink] * 3
            + [model.unlink_all]
        )()
    assert model.histories
    for payment_id, expected in model.histories.items():
        assert steps(client, payment_id) == expected
    assert rows.all("SELECT count(*) FROM history") == [(sum(map(len, model.histories.values())),)]
