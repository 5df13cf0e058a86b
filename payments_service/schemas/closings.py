"""Closings, and the journal behind them."""
from decimal import Decimal
from typing import Any

from marshmallow import Schema, fields, validate

from .currencies import EUR
from .fields import MAX_NUMBER, Amount, AmountInBody, Id, NumberedList, PageSize
from .methods import CASH
from .payments import PAYMENT_EXAMPLE
from .responses import ResponseSchema
from .ticket_payments import TICKET_PAYMENT_EXAMPLE

# More than there are methods and currencies. So many fit into a body.
MAX_COUNTS = 100

LINE_EXAMPLE = {
    "method_id": CASH,
    "method": "Cash",
    "currency_id": EUR,
    "currency": "EUR",
    "cash": True,
    "opening": Decimal("150.00"),
    "payments": Decimal("178.30"),
    "payments_count": 3,
    "corrections": Decimal("-32.80"),
    "corrections_count": 1,
    "refunds": Decimal("20.00"),
    "refunds_count": 1,
    "paid_in": Decimal("50.00"),
    "paid_out": Decimal("35.40"),
    "expected": Decimal("290.10"),
    "counted": Decimal("288.10"),
    "difference": Decimal("-2.00"),
    "remaining": Decimal("150.00"),
    "taken_out": Decimal("138.10"),
    "tips": Decimal("4.50"),
}
USER_LINE_EXAMPLE = {
    "user_id": "7",
    "method_id": CASH,
    "method": "Cash",
    "currency_id": EUR,
    "currency": "EUR",
    "takings": Decimal("92.70"),
    "tips": Decimal("3.00"),
}
CLOSING_EXAMPLE = {
    "number": 42,
    "closed_at": "2026-11-22T23:10:05.120000+00:00",
    "user_id": "7",
    "business_date": "2026-11-22",
    "previous_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "hash": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
    "lines": [LINE_EXAMPLE],
    "users": [USER_LINE_EXAMPLE],
}
OPEN_CLOSING_EXAMPLE = {
    "number": 43,
    "business_date": "2026-11-23",
    "lines": [
        LINE_EXAMPLE
        | {name: Decimal(0) for name in ("payments", "corrections", "refunds", "paid_in", "paid_out", "tips")}
        | {name: 0 for name in ("payments_count", "corrections_count", "refunds_count")}
        | {"expected": Decimal("150.00"), "counted": None, "difference": None, "remaining": None, "taken_out": None}
    ],
    "users": [],
    "cash_methods": [{"method_id": CASH, "method": "Cash"}],
}
COUNT_SHEET_EXAMPLE = {
    "number": 43,
    "lines": [{name: LINE_EXAMPLE[name] for name in ("method_id", "method", "currency_id", "currency", "cash")}],
    "methods": [{"method_id": CASH, "method": "Cash", "cash": True}],
    "currencies": [{"currency_id": EUR, "currency": "EUR"}],
}
COUNT_EXAMPLE = {
    "method_id": CASH,
    "currency_id": EUR,
    "counted": Decimal("288.10"),
    "remaining": Decimal("150.00"),
}
CLOSING_INPUT_EXAMPLE = {"counts": [COUNT_EXAMPLE]}
CLOSING_ADDED_EXAMPLE = {"number": 42, "message": "Closing added successfully"}
ARCHIVE_EXAMPLE = (
    '{"number":1,"previous_hash":null,"opened":null,"closed":"2026-11-22"}\n'
    '{"closed_at":"2026-11-22 23:10:05.120000+00:00","user_id":"7","business_date":"2026-11-22",'
    '"entries":0,"postings":0,"lines":[],"users":[]}\n'
)
JOURNAL_EXAMPLE = [
    {
        "at": "2026-11-22T12:30:05.120000+00:00",
        "business_date": "2026-11-22",
        "user_id": "7",
        "action": "created",
        "payment_id": PAYMENT_EXAMPLE["id"],
        "transaction_id": PAYMENT_EXAMPLE["transaction_id"],
        "tickets": [TICKET_PAYMENT_EXAMPLE["ticket_id"]],
        "method": "Cash",
        "currency": "EUR",
        "amount": PAYMENT_EXAMPLE["amount"],
        "tip": Decimal("4.50"),
        "reason": None,
    }
]


class WholeNumber(fields.Integer):
    """A whole number above zero, as JSON has it."""

    INVALID = "Send a whole number above zero."
    default_error_messages = {"invalid": INVALID}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(1, MAX_NUMBER, error=self.INVALID), **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not isinstance(value, Decimal) or value % 1:
            raise self.make_error("invalid")
        return int(value)


class CountSchema(Schema):
    """The money of a method and currency that was counted."""

    method_id = Id(required=True, metadata={"example": CASH})
    currency_id = Id(required=True, metadata={"example": EUR})
    counted = AmountInBody(
        "What is there, with no more decimals than the currency has",
        required=True,
        metadata={"example": COUNT_EXAMPLE["counted"]},
    )
    remaining = AmountInBody(
        "What of it stays in the drawer, if it is cash: all, if it is absent or null",
        # Callable, so that the document shows no default, which generated clients would send.
        load_default=lambda: None,
        allow_none=True,
    )


class ClosingInputSchema(Schema):
    """What to close."""

    number = WholeNumber(
        allow_none=True, metadata={"description": "Rejected with 409 unless it is the number of the next closing"}
    )
    counts = NumberedList(
        CountSchema,
        "Count",
        MAX_COUNTS,
        allow_none=True,
        metadata={"description": "What was counted. A closing without counts has no differences"},
    )


class ClosingQuerySchema(Schema):
    """Which page of the closings to list."""

    limit = PageSize()
    after = fields.Integer(
        validate=validate.Range(0, MAX_NUMBER), metadata={"description": "Only closings after this number"}
    )


class ClosingLineSchema(ResponseSchema):
    """The totals of a method and currency. Amounts have exactly the currency's decimals."""

    method_id = Id(required=True)
    method = fields.String(required=True, metadata={"description": "Its name at the closing"})
    currency_id = Id(required=True)
    currency = fields.String(required=True, metadata={"description": "Its acronym at the closing"})
    cash = fields.Boolean(required=True, metadata={"description": "Whether the money is in a drawer"})
    opening = Amount(required=True, metadata={"description": "What remained of the last closing; only cash does"})
    payments = Amount(required=True)
    payments_count = fields.Integer(required=True)
    corrections = Amount(required=True, metadata={"description": "Of payments that were changed or deleted"})
    corrections_count = fields.Integer(required=True)
    refunds = Amount(required=True)
    refunds_count = fields.Integer(required=True)
    paid_in = Amount(required=True)
    paid_out = Amount(required=True)
    expected = Amount(
        required=True, metadata={"description": "opening + payments + corrections - refunds + paid_in - paid_out"}
    )
    counted = Amount(required=True, allow_none=True, metadata={"description": "Null if it was not counted"})
    difference = Amount(required=True, allow_none=True, metadata={"description": "counted - expected"})
    remaining = Amount(required=True, allow_none=True, metadata={"description": "What stays in the drawer"})
    taken_out = Amount(required=True, allow_none=True, metadata={"description": "What the closing took out of it"})
    tips = Amount(required=True, metadata={"description": "What of payments and corrections is tips"})


class UserTakingsSchema(ResponseSchema):
    """What a user took: payments and corrections less refunds."""

    user_id = fields.String(required=True, allow_none=True)
    method_id = Id(required=True)
    method = fields.String(required=True)
    currency_id = Id(required=True)
    currency = fields.String(required=True)
    takings = Amount(required=True)
    tips = Amount(required=True, metadata={"description": "What of the takings is tips"})


class CashMethodSchema(ResponseSchema):
    """A payment method whose money is in a drawer."""

    method_id = Id(required=True)
    method = fields.String(required=True)


class OpenClosingSchema(ResponseSchema):
    """What a closing now would hold."""

    number = fields.Integer(required=True, metadata={"description": "The number that it would get"})
    business_date = fields.Date(required=True)
    lines = fields.List(fields.Nested(ClosingLineSchema), required=True)
    users = fields.List(fields.Nested(UserTakingsSchema), required=True)
    cash_methods = fields.List(fields.Nested(CashMethodSchema), required=True)


class CountableMethodSchema(CashMethodSchema):
    """A payment method whose money can be counted."""

    cash = fields.Boolean(required=True, metadata={"description": "Whether the money is in a drawer"})


class CountableCurrencySchema(ResponseSchema):
    """A currency in which money can be counted."""

    currency_id = Id(required=True)
    currency = fields.String(required=True)


class CountableLineSchema(CountableMethodSchema, CountableCurrencySchema):
    """A method and currency of which the next closing has a line."""


class CountSheetSchema(ResponseSchema):
    """What can be counted for the next closing. It has no figure."""

    number = fields.Integer(required=True, metadata={"description": "The number of the next closing"})
    lines = fields.List(fields.Nested(CountableLineSchema), required=True)
    methods = fields.List(fields.Nested(CountableMethodSchema), required=True)
    currencies = fields.List(fields.Nested(CountableCurrencySchema), required=True)


class ClosingSchema(ResponseSchema):
    """A closing, which never changes."""

    number = fields.Integer(required=True)
    closed_at = fields.AwareDateTime(required=True, metadata={"description": "In UTC"})
    user_id = fields.String(required=True, allow_none=True, metadata={"description": "Who closed"})
    business_date = fields.Date(required=True)
    previous_hash = fields.String(
        required=True, allow_none=True, metadata={"description": "The hash of the closing before, null for the first"}
    )
    hash = fields.String(required=True, metadata={"description": "The SHA-256 of the closing's archive"})
    lines = fields.List(fields.Nested(ClosingLineSchema), required=True)
    users = fields.List(fields.Nested(UserTakingsSchema), required=True)


class ClosingAddedSchema(ResponseSchema):
    """The response to a closing. It has no figure, so that who counts does not see what is expected."""

    number = fields.Integer(required=True)
    message = fields.String(required=True)


class JournalQuerySchema(Schema):
    """Which page of a journal to list, and how it is written."""

    limit = PageSize()
    after = fields.Integer(
        validate=validate.Range(0, MAX_NUMBER),
        metadata={"description": "Only postings after this one, by the number that a Link header has"},
    )
    format = fields.String(
        validate=validate.OneOf(["json", "csv"]),
        metadata={"description": "json or csv; without it, what the Accept header prefers"},
    )


class JournalEntrySchema(ResponseSchema):
    """A change of money. `store.journal.JournalEntry` has the same fields and is what responses are written from."""

    at = fields.AwareDateTime(required=True, metadata={"description": "In UTC"})
    business_date = fields.Date(required=True)
    user_id = fields.String(required=True, allow_none=True)
    action = fields.String(required=True, metadata={"description": "What was done, as in the history"})
    payment_id = Id(required=True, allow_none=True)
    transaction_id = fields.String(required=True, allow_none=True)
    tickets = fields.List(fields.String(), required=True, metadata={"description": "Linked to the payment now"})
    method = fields.String(required=True)
    currency = fields.String(required=True)
    amount = Amount(required=True, metadata={"description": "Signed: what is refunded or paid out is negative"})
    tip = Amount(required=True, metadata={"description": "Signed: what of payments and corrections is a tip"})
    reason = fields.String(
        required=True, allow_none=True, metadata={"description": "Of a refund, and of cash paid in or out"}
    )
