"""The way in: `python wsgi.py` serves, `flask --app wsgi` runs a command."""
import logging
import os
import sys

import peewee

from payments_service import SettingError, create_app, database, server

# The database is for the service's own user alone, like the secret.
os.umask(0o077)
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

try:
    app = create_app()
except SettingError as error:
    sys.exit(f"payments: {error}")


def main() -> None:
    """Bring the database up to date and serve."""
    url = app.config["DATABASE_URL"]
    try:
        with app.app_context():
            database.migrate()
    except (peewee.DatabaseError, OSError, database.DatabaseTooNew) as error:
        sys.exit(f"payments: the database {url} cannot be used: {error}")
    logging.info("The database is %s", url)
    server.serve(app)


if __name__ == "__main__":
    main()
