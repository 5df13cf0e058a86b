"""Migrating a database"""
from flask import Flask

from payments_service import create_app, database

from .tokens import SECRET


def migrate(app: Flask) -> list[str]:
    """Bring the database of `app` up to date and return the names of the migrations that ran."""
    with app.app_context():
        return database.migrate()


def migrate_new(url: str) -> None:
    """Bring an empty database up to date and close it."""
    app = create_app({"DATABASE_URL": url, "JWT_SECRET": SECRET})
    migrate(app)
    database.close(app)
