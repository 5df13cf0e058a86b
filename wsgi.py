"""The way in: `python wsgi.py` serves, `flask --app wsgi` runs a command."""
import logging
import os
import sys

from payments_service import SettingError, UnusableDatabase, create_app, database, server

# The database is for the service's own user alone, like the secret.
os.umask(0o077)
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

try:
    app = create_app()
except SettingError as error:
    sys.exit(f"payments: {error}")


def main() -> None:
    """Bring the database up to date and serve."""
    with app.app_context():
        try:
            database.migrate()
        except UnusableDatabase as error:
            sys.exit(f"payments: {error}")
        logging.info("The database is %s", database.current.location)
    server.serve(app)


if __name__ == "__main__":
    main()
