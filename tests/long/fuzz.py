"""Let schemathesis call every operation of /openapi.json with valid and invalid input

    python -m tests.long.fuzz --examples 500 --seed 7
"""
import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server

from ..support.fake_lnbits import FakeLnbits
from ..support.fake_node import FakeInvoice
from ..support.migrating import migrate_new
from ..support.postgresql import PostgresqlServer
from ..support.project import PROJECT, environment
from ..support.server import Server
from ..support.serving import serving
from ..support.tokens import SECRET, in_a_day, make_token

# The token of schemathesis, and errors that the document cannot predict.
CONFIGURATION = """
[auth.openapi.accessToken]
api_key = "${ACCESS_TOKEN}"

[checks.positive_data_acceptance]
# 400: an Idempotency-Key that looks like a missing value. 412: an outdated ETag.
# 422: an unknown id, or an amount that the currency cannot hold.
expected-statuses = ["2xx", 304, 400, 404, 409, 412, 422]
"""


class GenerousNode(FakeLnbits):
    """A fake of LNbits that knows a rate for each currency, and whose guests pay at once."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = {"EUR": "1000.0", "USD": "900.5", "MXN": "51.25"}

    def add_invoice(self, *args: Any) -> FakeInvoice:
        """Make an invoice and pay it."""
        invoice = super().add_invoice(*args)
        self.pay(invoice.payment_hash)
        return invoice


@contextlib.contextmanager
def serve_node() -> Iterator[dict[str, str]]:
    """Serve a node, and yield the settings that name it."""
    node = GenerousNode()
    with serving(make_server("127.0.0.1", 0, node)) as server:
        url = f"http://127.0.0.1:{server.port}"
        yield {"LIGHTNING": "lnbits", "LIGHTNING_URL": url, "LIGHTNING_KEY": node.key}


def fuzz(server: Server, folder: Path, examples: int, seed: int) -> str:
    """Run every check of schemathesis with a number of examples for each operation. Return its report.

    Raises an AssertionError with the report if a check fails, and with the log if the service fails.
    """
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json"]
    command += ["--checks", "all", "--max-examples", str(examples), "--seed", str(seed), "--no-color"]
    # They need no token. Without one other methods give 401, where schemathesis expects 405.
    command += ["--exclude-path-regex", "^/(health|metrics|payments/lightning/wake)"]
    settings = environment() | {"ACCESS_TOKEN": make_token(exp=in_a_day())}
    result = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    failures = [line for line in server.log if "level=error" in line]
    assert not failures, "".join(server.log)
    return result.stdout


def main() -> None:
    """Run the command on both engines."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Call every operation with all kinds of input.")
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    with contextlib.ExitStack() as things:
        folder = Path(things.enter_context(tempfile.TemporaryDirectory()))
        postgresql = PostgresqlServer()
        things.callback(postgresql.remove)
        for url in (f"sqlite:///{folder}/payments.db", postgresql.url()):
            migrate_new(url)
            node = things.enter_context(serve_node())
            server = Server(PROJECT, {"DATABASE_URL": url, "JWT_SECRET": SECRET} | node)
            things.callback(server.stop)
            server.wait_until_serving()
            print(fuzz(server, folder, given.examples, given.seed), flush=True)


if __name__ == "__main__":
    main()
