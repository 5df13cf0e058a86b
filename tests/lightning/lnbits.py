"""A real LNbits with a restaurant's and a guest's wallet; `make lightning` installs it"""
import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..support.network import find_free_port
from ..support.project import PROJECT
from ..support.waiting import wait_until

INSTALLED = PROJECT / ".venv" / "lnbits"
PASSWORD = "a password of the tests"
# More than this at once would be too much for LNbits.
GUEST_SAT = 10_000_000


class Wallet:
    """A wallet of LNbits."""

    def __init__(self, described: dict[str, Any]) -> None:
        self.id = described["id"]
        self.key = described["inkey"]
        self.full_key = described["adminkey"]


class Lnbits:
    """LNbits in a process of its own, with FakeWallet as its node: payments between its wallets are real to both.

    FakeWallet forgets invoices that are open when it ends. LNbits then takes them for failed.
    """

    restaurant: Wallet
    guest: Wallet

    def __init__(self, folder: Path, price_url: str) -> None:
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        (folder / "data" / "logs").mkdir(parents=True)
        (folder / "extensions" / "extensions").mkdir(parents=True)
        # LNbits finds its pages by the folder that it is started in.
        (package,) = INSTALLED.glob("lib/python*/site-packages/lnbits")
        (folder / "lnbits").symlink_to(package)
        self.environment = {
            "PATH": f"{INSTALLED}/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "LNBITS_DATA_FOLDER": str(folder / "data"),
            "LNBITS_EXTENSIONS_PATH": str(folder / "extensions"),
            "LNBITS_EXTENSIONS_DEACTIVATE_ALL": "true",
            "LNBITS_EXTENSIONS_MANIFESTS": "[]",
            "LNBITS_WASM_EXTENSIONS_MANIFESTS": "[]",
            "LNBITS_BACKEND_WALLET_CLASS": "FakeWallet",
            "LNBITS_ADMIN_UI": "true",
            # The guests and two copies of the service call from the same address.
            "LNBITS_RATE_LIMIT_NO": "1000000",
            # The only source of prices, asked each time.
            "LNBITS_PRICE_AGGREGATOR_URL": price_url,
            "LNBITS_EXCHANGE_RATE_PROVIDERS": "[]",
            "LNBITS_EXCHANGE_RATE_CACHE_SECONDS": "0",
            "AUTH_HTTPS_ONLY": "false",
        }

    def start(self) -> None:
        """Start it, and wait until it responds."""
        # Its own command forks.
        program = [INSTALLED / "bin" / "python", "-m", "uvicorn", "lnbits.__main__:app", "--loop", "uvloop"]
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(
                [*program, "--host", "127.0.0.1", "--port", str(self.port)],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self.responds)
        except BaseException:
            self.stop()
            raise

    def stop(self, sign: signal.Signals = signal.SIGKILL) -> None:
        """End its process by a signal."""
        self.process.send_signal(sign)
        self.process.wait(timeout=30)

    def responds(self) -> bool:
        """Tell whether it responds; fails if it has ended."""
        assert self.process.poll() is None, (self.folder / "log").read_text()[-5000:]
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=30).close()
            return True
        except ConnectionRefusedError:
            return False

    def set_up(self) -> None:
        """Make the administrator, and the wallets of a restaurant and of a guest, who gets money."""
        administrator = {"username": "admin", "password": PASSWORD, "password_repeat": PASSWORD}
        token = self.call("PUT", "/api/v1/auth/first_install", administrator)["access_token"]
        self.restaurant, self.guest = (
            Wallet(self.call("POST", "/api/v1/account", {"name": name})) for name in ("restaurant", "guest")
        )
        given = {"id": self.guest.id, "amount": GUEST_SAT}
        self.call("PUT", "/users/api/v1/balance", given, Authorization=f"Bearer {token}")

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Call LNbits and return its JSON; fails if it reports an error."""
        content = None if body is None else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read(), parse_float=Decimal)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from None

    def pay(self, bolt11: str) -> None:
        """Pay an invoice from the guest's wallet; fails if LNbits does not."""
        self.call("POST", "/api/v1/payments", {"out": True, "bolt11": bolt11}, X_Api_Key=self.guest.full_key)

    def list_invoices(self, external_id: str) -> list[dict[str, Any]]:
        """Return the restaurant's invoices with this id."""
        path = f"/api/v1/payments?external_id={external_id}"
        listed: list[dict[str, Any]] = self.call("GET", path, X_Api_Key=self.restaurant.key)
        return listed

    def balance_sat(self) -> int:
        """Return what the restaurant has got."""
        wallet = self.call("GET", "/api/v1/wallet", X_Api_Key=self.restaurant.key)
        return int(wallet["balance"]) // 1000
