"""Where the keys of access tokens come from: a setting, a file that may change, a URL, or the first start."""
import logging
import math
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import jwt

from ..errors import KeysUnavailable, SettingError
from ..settings import PREFIX, PROJECT
from .key_formats import MIN_SECRET_BYTES, Keys, find_doubts, parse_secrets

GENERATED_SECRET_FILE = PROJECT / "instance" / "jwt-secret"
# A request looks for a change of the file once in this time.
FILE_CHECK_SECONDS = 10
# Keys from a URL are fetched again after this time.
REFRESH_SECONDS = 300
# From the start of one fetch to the next, after a failure or for a token with an unknown key.
RETRY_SECONDS = 10
# For each step of a fetch: to connect, and to receive more.
FETCH_TIMEOUT_SECONDS = 5
# The time that requests wait for a fetch, from its start.
WAIT_SECONDS = 3
# A fetch that takes longer counts as failed. It may still succeed.
SLOW_SECONDS = 60
# If the file or the URL fails, the last keys stay in use for this time.
KEEP_SECONDS = 24 * 3600
# Some servers reject the default of urllib.
FETCH_HEADERS = {"User-Agent": "payments-service", "Accept": "application/json"}

logger = logging.getLogger(__name__)


class KeySource:
    """Where keys come from. `name` has the setting and, for a file or a URL, its value."""

    def __init__(self, name: str, algorithm: str | None) -> None:
        self.name = name
        # The only algorithm to use keys for, None for all.
        self._algorithm = algorithm
        self._keys: Keys = ()
        # Why the last attempt to load the keys has failed.
        self._failure = ""

    @property
    def algorithms(self) -> str:
        """The algorithms of the keys in use: `ES256, RS256`. `none` if none have been fetched yet."""
        return ", ".join(sorted({key.algorithm for key in self._keys})) or "none"

    def load(self) -> Keys:
        """Read the keys where they come from; raises `SettingError`."""
        raise NotImplementedError

    def current(self) -> Keys:
        """Return the keys in use, the same object until they change; raises `KeysUnavailable`."""
        return self._keys

    def renew(self) -> None:
        """Try to get newer keys, for a token that was signed with none of the current ones."""

    def _select(self, keys: Keys) -> Keys:
        """Return the keys for the algorithm of the settings; raises ValueError if there are none."""
        selected = tuple(key for key in keys if self._algorithm in (None, key.algorithm))
        if not selected:
            found = ", ".join(sorted({key.algorithm for key in keys}))
            raise ValueError(f"is for {found}, but {PREFIX}JWT_ALGORITHM is {self._algorithm}")
        return selected

    def _use(self, keys: Keys) -> None:
        """Use keys from now on. Equal keys stay the same object, so that the tokens they verified stay cached."""
        if self._failure or (self._keys and keys != self._keys):
            logger.info("Read the keys of access tokens again", extra={"keys_from": self.name, "keys": len(keys)})
        self._failure = ""
        if keys != self._keys:
            self._keys = keys
            for doubt in find_doubts(keys):
                logger.warning("%s: %s", self.name, doubt)

    def _try_to_load(self) -> bool:
        """Load the keys and use them. If that fails, log why and keep those in use."""
        try:
            self._use(self.load())
            return True
        # Whatever a file or a server leads to, requests go on with the keys in use.
        except Exception as error:
            self._fail(str(error) if isinstance(error, SettingError) else f"{self.name}: {type(error).__name__}")
            return False

    def _fail(self, failure: str) -> None:
        """Log why the keys cannot be loaded: once, and not for each attempt of an outage."""
        if failure != self._failure:
            logger.error("Keys of access tokens: %s", failure, extra={"keys_in_use": len(self._keys)})
        self._failure = failure


class FixedKeys(KeySource):
    """Secrets in a setting."""

    def __init__(self, name: str, algorithm: str | None, text: str) -> None:
        """Raise `SettingError` for invalid secrets."""
        super().__init__(name, algorithm)
        self._text = text
        self._use(self.load())

    def load(self) -> Keys:
        """Parse the setting."""
        try:
            return self._select(parse_secrets(self._text.encode()))
        except ValueError as error:
            raise SettingError(f"{self.name} {error}") from None


class KeyFile(KeySource):
    """Keys in a file, which may change while the service runs."""

    def __init__(self, name: str, algorithm: str | None, path: Path, parse: Callable[[bytes], Keys]) -> None:
        """Raise `SettingError` if the file cannot be read or has invalid keys."""
        super().__init__(f"{name} {path}", algorithm)
        self.path = path
        self._parse = parse
        self._use(self.load())
        # A pipe can be read only once.
        self._next_check = monotonic() + FILE_CHECK_SECONDS if path.is_file() else math.inf
        self._checking = threading.Lock()
        self._failed_since = math.inf

    def load(self) -> Keys:
        """Read the file."""
        try:
            return self._select(self._parse(self.path.read_bytes()))
        except OSError as error:
            raise SettingError(f"{self.name} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise SettingError(f"{self.name} {error}") from None

    def current(self) -> Keys:
        """Return the keys in use. Once in a while, read the file before."""
        # The others go on with the keys in use: the disk may be slow.
        if monotonic() >= self._next_check and self._checking.acquire(blocking=False):
            try:
                self._next_check = monotonic() + FILE_CHECK_SECONDS
                if self._try_to_load():
                    self._failed_since = math.inf
                else:
                    self._failed_since = min(self._failed_since, monotonic())
            finally:
                self._checking.release()
        if monotonic() > self._failed_since + KEEP_SECONDS:
            raise KeysUnavailable("The keys of access tokens cannot be read: see the log.")
        return self._keys


class KeyUrl(KeySource):
    """The JSON Web Key Set at a URL. It is fetched in a thread of its own, by one thread at a time.

    A request waits for a fetch only if there are no recent keys and the last fetch has not failed. So a server that
    does not respond delays requests once, and not again until it has responded.
    """

    def __init__(self, name: str, algorithm: str | None, url: str) -> None:
        """Raise `SettingError` for plain HTTP through a proxy. Nothing is fetched yet."""
        super().__init__(f"{name} {url}", algorithm)
        parts = urlsplit(url)
        if parts.scheme == "http" and "http" in getproxies() and not proxy_bypass(parts.netloc):
            raise SettingError(f"{name} {url} would be fetched through the proxy of http_proxy: set no_proxy too")
        # It follows no redirects. Its own cache has no limit to how often it fetches while the server fails.
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=FETCH_TIMEOUT_SECONDS, headers=FETCH_HEADERS)
        self._starting = threading.Lock()
        self._fetching: threading.Thread | None = None
        self._started = self._fetched = -math.inf

    def load(self) -> Keys:
        """Fetch the keys."""
        # Imported here, because a service with secrets does without cryptography: see wsgi.py.
        from .public_keys import select_public_keys

        try:
            return self._select(select_public_keys(self._client.get_jwk_set()))
        # A response may be of any kind.
        except Exception as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise SettingError(f"{self.name} has no usable keys: {reason}") from None

    def current(self) -> Keys:
        """Return the keys in use, fetched a few minutes ago at most unless the URL fails."""
        age = monotonic() - self._fetched
        if age > REFRESH_SECONDS:
            self._start_fetch()
        if age > 2 * REFRESH_SECONDS:
            self._wait()
        if monotonic() > self._fetched + KEEP_SECONDS:
            raise KeysUnavailable("The keys of access tokens cannot be fetched now: try again.")
        return self._keys

    def renew(self) -> None:
        """Fetch the keys again, unless they were fetched just now."""
        self._start_fetch()
        self._wait()

    def _start_fetch(self) -> None:
        with self._starting:
            seconds = monotonic() - self._started
            if self._fetching and self._fetching.is_alive():
                if seconds > SLOW_SECONDS:
                    self._fail(f"{self.name} is slow: no response in {SLOW_SECONDS} seconds")
                return
            if seconds < RETRY_SECONDS:
                return
            self._started = monotonic()
            self._fetching = threading.Thread(target=self._fetch, name="keys of access tokens", daemon=True)
            self._fetching.start()

    def _fetch(self) -> None:
        if self._try_to_load():
            self._fetched = monotonic()

    def _wait(self) -> None:
        fetching = self._fetching
        if fetching and not self._failure:
            fetching.join(max(0, self._started + WAIT_SECONDS - monotonic()))


def read_keys(settings: Mapping[str, Any]) -> KeySource:
    """Return the source of the keys that the settings name. If they name none, a secret of the first start.

    Raises `SettingError` if several settings name keys, or if the keys cannot be read, are weak or are not supported.
    """
    names = ["JWT_SECRET", "JWT_SECRET_FILE", "JWT_PUBLIC_KEY_FILE", "JWT_JWKS_URL"]
    given = {name: str(settings[name]) for name in names if settings[name]}
    if len(given) > 1:
        raise SettingError(f"{' and '.join(PREFIX + name for name in given)} must not be set together: keep only one")
    if not given:
        _ensure_secret_file(GENERATED_SECRET_FILE)
        given = {"JWT_SECRET_FILE": str(GENERATED_SECRET_FILE)}
    ((name, value),) = given.items()
    variable, algorithm = PREFIX + name, settings["JWT_ALGORITHM"]
    if name == "JWT_SECRET":
        return FixedKeys(variable, algorithm, value)
    if name == "JWT_JWKS_URL":
        return KeyUrl(variable, algorithm, value)
    if name == "JWT_SECRET_FILE":
        return KeyFile(variable, algorithm, PROJECT / value, parse_secrets)
    # Imported here, because a service with secrets does without cryptography: see wsgi.py.
    from .public_keys import parse_public_keys

    return KeyFile(variable, algorithm, PROJECT / value, parse_public_keys)


def _ensure_secret_file(path: Path) -> None:
    """Create a file with a random secret unless it exists. Processes that start at the same time share one secret."""
    if path.exists():
        return
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(MIN_SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            # Unlike a rename, a link fails if another process has just created the file.
            os.link(temporary, path)
            logger.warning("No secret for access tokens is set: wrote a random one to %s", path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    except OSError as error:
        raise SettingError(f"{PREFIX}JWT_SECRET is not set and {path} cannot be written: {error}") from None
