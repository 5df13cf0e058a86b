"""The history of a payment"""
from datetime import datetime
from typing import Any

from flask.testing import FlaskClient

from .rows import Rows, stored


def history_of(client: FlaskClient, payment_id: str) -> list[dict[str, Any]]:
    """Return the entries of a payment's history, or none."""
    response = client.get(f"/payments/{payment_id}/history")
    return response.json if response.status_code == 200 else []


def steps(client: FlaskClient, payment_id: str) -> list[tuple[str, Any, Any]]:
    """Return the action of each entry, and the values before and after it."""
    return [(entry["action"], entry["before"], entry["after"]) for entry in history_of(client, payment_id)]


def times_of(rows: Rows, payment_id: str) -> list[datetime]:
    """Return when a payment was created and when it was last changed."""
    found = rows.execute("SELECT created_at, changed_at FROM payment WHERE id = ?", stored(payment_id)).fetchone()
    return [datetime.fromisoformat(moment) if rows.is_sqlite else moment for moment in found]
