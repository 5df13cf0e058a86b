"""The application under another WSGI server, which runs no migrations"""
import subprocess
import sys

import pytest

from ..support.clients import client_of
from ..support.project import PROJECT, environment
from ..support.tokens import SECRET, make_token

ADVICE = "run `flask --app wsgi migrate`"


@pytest.fixture
def import_application(database_url):
    """Import the application as other servers do, and return what that logs."""

    def run():
        settings = environment(DATABASE_URL=database_url, JWT_SECRET=SECRET)
        command = [sys.executable, "-c", "import wsgi; wsgi.app"]
        result = subprocess.run(command, cwd=PROJECT, env=settings, capture_output=True, text=True, check=True)
        return result.stderr.splitlines()

    return run


@pytest.mark.empty_database
def test_a_missing_migration_is_one_line_at_the_start(import_application):
    (line,) = import_application()
    assert "level=error" in line
    assert ADVICE in line


def test_a_migrated_database_is_no_line_at_the_start(import_application):
    assert import_application() == []


@pytest.mark.empty_database
@pytest.mark.parametrize("path", ["/payments", "/payments/methods", "/payments/payment-uuid-1"])
def test_each_response_says_what_is_missing(make_new_app, path):
    response = client_of(make_new_app(), make_token()).get(path)
    assert (response.status_code, "Retry-After" in response.headers) == (503, False)
    assert ADVICE in response.json["message"]
