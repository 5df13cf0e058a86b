"""The entry point: `python wsgi.py` starts the service, `flask --app wsgi` runs a command."""
import contextlib
import logging
import os
import sys

if __name__ == "__main__":
    # Peewee 4.5.3 imports psycopg wherever it is installed, also for SQLite. It takes 11 MiB. Python imports no module
    # that is None here. Drop when Peewee imports psycopg to connect.
    if not os.environ.get("PAYMENTS_DATABASE_URL", "").strip().startswith("postgres"):
        sys.modules["psycopg"] = None  # type: ignore[assignment]
    # PyJWT 2.15.1 imports cryptography likewise, also for secrets. It takes 9 MiB. Drop when PyJWT imports it to read a
    # public key.
    if not any(os.environ.get(f"PAYMENTS_JWT_{name}", "").strip() for name in ("PUBLIC_KEY_FILE", "JWKS_URL")):
        sys.modules["cryptography"] = None  # type: ignore[assignment]
        import jwt  # noqa: F401

        # tokens/key_formats.py may need it, for a secret that looks like a public key.
        del sys.modules["cryptography"]

from payments_service import SettingError, UnusableDatabase, __version__, create_app, database, logs, server
from payments_service.database.sqlite import MISSING
from payments_service.web.clock import check_clock
from payments_service.web.runtime import runtime

# How long a start waits for the check of a SQLite file for damage: about 200,000 payments on a slow disk. The rest of a
# larger one is checked while the service runs.
START_CHECK_SECONDS = 3

# Only the service's own user may read the files that it creates.
os.umask(0o077)
logs.configure("logfmt")

try:
    app = create_app()
    logs.configure(app.config["LOG_FORMAT"])
except SettingError as error:
    sys.exit(f"payments: {error}")


def main() -> None:
    """Migrate the database and serve requests until the process is stopped."""
    with app.app_context():
        try:
            # A database that is missing here may be on a disk that is not mounted.
            database.migrate(create=False, check_seconds=START_CHECK_SECONDS)
        except UnusableDatabase as error:
            sys.exit(f"payments: {error}")
        source = runtime().tokens.source
        # If keys are fetched, then before the first request.
        source.renew()
        fields = {"version": __version__, "database": database.current.location, "keys": source.algorithms}
        logging.info("Starting", extra=fields | {"keys_from": source.name})
        # Whatever fails here fails again, with its reason, at the first request.
        with contextlib.suppress(*database.DATABASE_FAULTS):
            check_clock()
    server.serve(app)


def report_pending_migrations() -> None:
    """Log an error unless the database is up to date. Ends the process if another path leads to it."""
    # Whatever fails here fails again, with its reason, at the first request.
    with app.app_context(), contextlib.suppress(*database.DATABASE_FAULTS, OSError):
        current = database.current
        try:
            current.reject_second_path()
        except UnusableDatabase as error:
            sys.exit(f"payments: the database {current.location} cannot be used: {error}")
        if not current.exists():
            logging.error("The database %s cannot be used: %s", current.location, MISSING)
        elif database.pending_migrations():
            logging.error("The database is not up to date: run `flask --app wsgi migrate`")
    # Servers that fork must not share a connection.
    database.close(app)


if __name__ == "__main__":
    main()
elif os.environ.get("FLASK_RUN_FROM_CLI") != "true":
    # Another WSGI server serves `app`, and runs no migrations.
    report_pending_migrations()
