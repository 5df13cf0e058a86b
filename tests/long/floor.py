"""A constant response of waitress, without a framework or a database: the floor of `make bench`

    PAYMENTS_PORT=9155 PAYMENTS_THREADS=8 python tests/long/floor.py
"""
import logging
import os

import waitress

BODY = (
    b'{"id":"00000000-0000-7000-8000-000000000001","method_id":"01950000-0000-7000-8000-000000000001",'
    b'"currency_id":"01950000-0000-7000-8000-000000000101","transaction_id":"txn-1","amount":45.50}\n'
)


def app(environ, start_response):
    """Give every request the same response."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))])
    return [BODY]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    port, threads = (int(os.environ[f"PAYMENTS_{name}"]) for name in ("PORT", "THREADS"))
    server = waitress.create_server(app, host="127.0.0.1", port=port, threads=threads)
    server.print_listen("Serving on http://{}:{}")
    server.run()
