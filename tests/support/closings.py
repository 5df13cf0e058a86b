"""Cash-up: closing, and reading what was closed"""
from decimal import Decimal
from typing import Any

from flask.testing import FlaskClient

CLOSINGS = "/payments/closings"
NEXT = f"{CLOSINGS}/next"
MOVEMENTS = "/payments/cash-movements"


def line_of(report: dict[str, Any], method_id: str, currency_id: str) -> dict[str, Any]:
    """Return the line of a method and currency in a report, without their names."""
    (line,) = (
        line for line in report["lines"] if (line["method_id"], line["currency_id"]) == (method_id, currency_id)
    )
    names = {"method", "currency", "method_id", "currency_id"}
    return {name: value for name, value in line.items() if name not in names}


def amounts(line: dict[str, Any]) -> dict[str, Any]:
    """Return what is not zero or null in a line, but for `cash`."""
    return {name: value for name, value in line.items() if name != "cash" and value}


def close(client: FlaskClient, *counts: tuple[str, str, str, str | None], number: int | None = None) -> int:
    """Close with counts, each a method, a currency, what was counted and what remains. Return the closing's number."""
    listed = [
        {"method_id": method_id, "currency_id": currency_id, "counted": Decimal(counted)}
        | ({} if remaining is None else {"remaining": Decimal(remaining)})
        for method_id, currency_id, counted, remaining in counts
    ]
    response = client.post(CLOSINGS, json={"counts": listed} | ({} if number is None else {"number": number}))
    assert response.status_code == 201, response.text
    return response.json["number"]
