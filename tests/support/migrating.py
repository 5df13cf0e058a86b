"""Migrating a database"""
from flask import Flask

from payments_service import database


def migrate(app: Flask) -> list[str]:
    """Bring the database of `app` up to date and return the names of the migrations that ran."""
    with app.app_context():
        return database.migrate()
