"""Takings: what each business day brought, by method, currency and user."""
from datetime import date
from typing import Any

from ..models import Posting
from . import totals
from .postings import TAKINGS
from .totals import Key, Line, Names, show_amount


def read(first: date, last: date) -> dict[str, Any] | None:
    """Return the takings of the business days from `first` to `last`, as the API shows them; None if there are none."""
    names = Names()
    days: dict[date, dict[tuple[Key, str], tuple[str | None, Line]]] = {}
    sums: dict[Any, Line] = {}
    conditions = [Posting.business_date >= first, Posting.business_date <= last]
    conditions.append(Posting.kind.in_([kind.value for kind in TAKINGS]))
    for (day,), found in totals.sum_postings(*conditions, by=[Posting.business_date]):
        lines = days.setdefault(day, {})
        # A dict's key sorts: a user of None comes before all others.
        key = found.key, "" if found.user_id is None else f" {found.user_id}"
        if key not in lines:
            lines[key] = found.user_id, names.make_line(found.key)
        lines[key][1].add(found.kind, found.postings, found.minor_units, found.tip_units)
        total = sums.setdefault(found.key.currency_id, names.make_line(found.key))
        total.add(found.kind, found.postings, found.minor_units, found.tip_units)
    if not days:
        return None
    return {
        "from": first,
        "to": last,
        "days": [
            {"business_date": day, "lines": [_show_line(*lines[key]) for key in sorted(lines)]}
            for day, lines in sorted(days.items())
        ],
        "totals": [_show_currency(line) | _show_sums(line) for _, line in sorted(sums.items())],
    }


def _show_line(user_id: str | None, line: Line) -> dict[str, Any]:
    method = {"method_id": line.method_id, "method": line.method_name}
    return method | _show_currency(line) | {"user_id": user_id} | _show_sums(line)


def _show_currency(line: Line) -> dict[str, Any]:
    return {"currency_id": line.currency_id, "currency": line.currency_acronym}


def _show_sums(line: Line) -> dict[str, Any]:
    takings = line.payments + line.corrections - line.refunds
    return {
        "payments": show_amount(line.payments, line.decimals),
        "payments_count": line.payments_count,
        "corrections": show_amount(line.corrections, line.decimals),
        "corrections_count": line.corrections_count,
        "refunds": show_amount(line.refunds, line.decimals),
        "refunds_count": line.refunds_count,
        "takings": show_amount(takings, line.decimals),
        "tips": show_amount(line.tips, line.decimals),
    }
