"""The curl commands of the API page"""
import subprocess

from .payments import CASH, EUR, payment
from .project import environment
from .tokens import make_token

# As the API page prints them: its text lost the line breaks after the backslashes, which the shell accepts.
COOKIES = '\\-H "Cookie: accessToken=$ACCESS_TOKEN" \\-H "Cookie: refreshToken=$REFRESH_TOKEN"'
JSON = '\\-H "Content-Type: application/json" \\-d '
PAGE = [
    (f'curl -X GET "http://127.0.0.1:9154/payments" {COOKIES}', 200),
    (f'curl -X GET "http://127.0.0.1:9154/payments/payment-uuid-1" {COOKIES}', 200),
    (
        f'curl -X POST "http://127.0.0.1:9154/payments" {COOKIES} {JSON}\'{{"method_id": "method-uuid-1",'
        '"currency_id": "currency-uuid-1","transaction_id": "txn-345678","amount": 78.90}\'',
        201,
    ),
    (f'curl -X GET "http://127.0.0.1:9154/payments/methods" {COOKIES}', 200),
    (f'curl -X GET "http://127.0.0.1:9154/payments/currencies" {COOKIES}', 200),
    (
        f'curl -X POST "http://127.0.0.1:9154/payments/ticket-payments" {COOKIES} {JSON}'
        '\'{"payment_id": "payment-uuid-1","ticket_id": "ticket-uuid-1"}\'',
        201,
    ),
    (f'curl -X GET "http://127.0.0.1:9154/payments/ticket-payments/by-ticket/ticket-uuid-1" {COOKIES}', 200),
    (
        'curl -X DELETE "http://127.0.0.1:9154/payments/ticket-payments?paymentId=payment-uuid-1&ticketId='
        f'ticket-uuid-1" {COOKIES}',
        204,
    ),
]


def run_curl_commands(server) -> None:
    """Run the page's commands and check the status of each response."""
    payment_id = server.request("POST", "/payments", payment())[1]["id"]
    ids = {"method-uuid-1": CASH, "currency-uuid-1": EUR, "payment-uuid-1": payment_id, "9154": str(server.port)}
    for command, code in PAGE:
        for printed, real in ids.items():
            command = command.replace(printed, real)
        tokens = {"ACCESS_TOKEN": make_token(), "REFRESH_TOKEN": make_token(type="refresh")}
        shell = ["sh", "-c", f"{command} -s -w '%{{http_code}}'"]
        result = subprocess.run(shell, env=environment() | tokens, capture_output=True, text=True, check=True)
        assert result.stdout[-3:] == str(code), command
