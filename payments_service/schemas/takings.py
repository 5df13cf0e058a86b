"""Takings by business day."""
import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from ..store import business_days
from .closings import UserTakingsSchema
from .currencies import EUR
from .fields import Amount, Id
from .methods import CASH
from .responses import ResponseSchema

MAX_DAYS = 366
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

SUMS_EXAMPLE = {
    "payments": Decimal("145.50"),
    "payments_count": 2,
    "corrections": Decimal("-32.80"),
    "corrections_count": 1,
    "refunds": Decimal("20.00"),
    "refunds_count": 1,
    "takings": Decimal("92.70"),
    "tips": Decimal("3.00"),
}
CURRENCY_EXAMPLE = {"currency_id": EUR, "currency": "EUR"}
TAKINGS_EXAMPLE = {
    "from": "2026-11-22",
    "to": "2026-11-22",
    "days": [
        {
            "business_date": "2026-11-22",
            "lines": [{"method_id": CASH, "method": "Cash"} | CURRENCY_EXAMPLE | {"user_id": "7"} | SUMS_EXAMPLE],
        }
    ],
    "totals": [CURRENCY_EXAMPLE | SUMS_EXAMPLE],
}


class BusinessDate(fields.Date):
    """A business date in the form of RFC 3339; Python also accepts 2026-W48-1."""

    default_error_messages = {"invalid": "Send a date, such as 2026-11-22."}

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> date:
        if not DATE.fullmatch(value):
            raise self.make_error("invalid")
        found: date = super()._deserialize(value, *args, **kwargs)
        return found


class TakingsQuerySchema(Schema):
    """Which business days to add up."""

    # Callable, so that the document shows no default, which generated clients would send.
    first = BusinessDate(
        data_key="from", load_default=business_days.today, metadata={"description": "The first; without it, today"}
    )
    last = BusinessDate(
        data_key="to", load_default=business_days.today, metadata={"description": "The last; without it, today"}
    )

    @validates_schema
    def check_days(self, days: dict[str, date], **kwargs: Any) -> None:
        """Raise `ValidationError` for days in the wrong order, and for too many."""
        if not timedelta(0) <= days["last"] - days["first"] < timedelta(days=MAX_DAYS):
            raise ValidationError(f"Must be the day of from or a later one, {MAX_DAYS} days at most in all.", "to")


class TakingsOfCurrencySchema(ResponseSchema):
    """The takings in a currency. Amounts have exactly the currency's decimals."""

    currency_id = Id(required=True)
    currency = fields.String(required=True)
    payments = Amount(required=True)
    payments_count = fields.Integer(required=True)
    corrections = Amount(required=True, metadata={"description": "Of payments that were changed or deleted"})
    corrections_count = fields.Integer(required=True)
    refunds = Amount(required=True)
    refunds_count = fields.Integer(required=True)
    takings = Amount(required=True, metadata={"description": "payments + corrections - refunds"})
    tips = Amount(required=True, metadata={"description": "What of payments and corrections is tips"})


class TakingsLineSchema(TakingsOfCurrencySchema, UserTakingsSchema):
    """What a user took on a day, by a method and in a currency."""


class TakingsOfDaySchema(ResponseSchema):
    """The takings of a business day."""

    business_date = fields.Date(required=True)
    lines = fields.List(fields.Nested(TakingsLineSchema), required=True)


class TakingsSchema(ResponseSchema):
    """The takings of business days: those that have any, and their totals."""

    first = fields.Date(required=True, data_key="from")
    last = fields.Date(required=True, data_key="to")
    days = fields.List(fields.Nested(TakingsOfDaySchema), required=True)
    totals = fields.List(fields.Nested(TakingsOfCurrencySchema), required=True)
