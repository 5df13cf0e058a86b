"""The errors that the service raises itself.

    PaymentsError                   the response is its status and its message, which says what to do
    ├── MalformedBody               400
    ├── NotSignedIn                 401
    │   └── TokenRejected
    ├── NotPermitted                403
    ├── NotFound                    404
    ├── Conflict                    409
    │   ├── TransactionIdTaken
    │   └── ClosingNumberTaken
    ├── PreconditionFailed          412
    ├── NotJson                     415
    ├── Invalid                     422
    ├── KeyReused                   422
    ├── NotMigrated                 503, without Retry-After
    ├── NotConfigured               503, without Retry-After
    └── Unavailable                 503, with Retry-After
        ├── NotReady
        ├── KeysUnavailable
        ├── BackendFault
        └── Busy
    SettingError                    a setting is invalid: the service does not start
    UnusableDatabase                the database cannot be used: the service does not start
    └── DamagedDatabase
    UnusableFile                    a file cannot be imported

Each `PaymentsError` carries its HTTP status. `web.error_handlers` makes the responses.
"""
from http import HTTPStatus
from typing import ClassVar
from uuid import UUID


class PaymentsError(Exception):
    """An error that the response reports: `status` is its HTTP status, and the message says what to do."""

    status: ClassVar[HTTPStatus]

    def explain(self) -> str:
        """Return why, for the log: it quotes no value of the request."""
        return str(self)


class MalformedBody(PaymentsError):
    """The body is not JSON text."""

    status = HTTPStatus.BAD_REQUEST


class NotSignedIn(PaymentsError):
    """The access token is missing or not valid."""

    status = HTTPStatus.UNAUTHORIZED


class TokenRejected(NotSignedIn):
    """An access token is expired or not valid; `reason` names the claim or the rule and quotes nothing."""

    def __init__(self, reason: str, expired: bool = False) -> None:
        super().__init__("The access token has expired: refresh it." if expired else "The access token is not valid.")
        self.reason = reason
        self.expired = expired

    def explain(self) -> str:
        """Return the reason."""
        return self.reason


class NotPermitted(PaymentsError):
    """The access token does not grant the permission, or a page of another origin sent the request."""

    status = HTTPStatus.FORBIDDEN


class NotFound(PaymentsError):
    """The path names something that does not exist."""

    status = HTTPStatus.NOT_FOUND


class Conflict(PaymentsError):
    """The request conflicts with what is stored."""

    status = HTTPStatus.CONFLICT


class TransactionIdTaken(Conflict):
    """Another payment has the transaction_id; `payment_id` is its id."""

    def __init__(self, payment_id: UUID) -> None:
        super().__init__("Another payment has this transaction_id: send one that is not used yet.")
        self.payment_id = payment_id


class ClosingNumberTaken(Conflict):
    """Another closing is the next one; `detail` says which, and who made the last one."""

    def __init__(self, detail: str) -> None:
        super().__init__("This is not the number of the next closing: nothing was closed.")
        self.detail = detail


class PreconditionFailed(PaymentsError):
    """The payment's version is not one that If-Match names; `version` is the current one."""

    status = HTTPStatus.PRECONDITION_FAILED

    def __init__(self, version: int) -> None:
        super().__init__("The payment's ETag is not in If-Match: read the payment again, and send its ETag.")
        self.version = version


class NotJson(PaymentsError):
    """The Content-Type is not JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Invalid(PaymentsError):
    """Fields of the body have invalid values; `fields` has the reason for each field."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, **fields: str) -> None:
        super().__init__(" ".join(fields.values()))
        self.fields = fields


class KeyReused(PaymentsError):
    """The idempotency key was used for another request; `recorded` says what that one recorded."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, recorded: str) -> None:
        super().__init__(
            f"{recorded} is recorded under this Idempotency-Key, with other values. Read it first: with a new key, "
            "this request is recorded too."
        )

    def explain(self) -> str:
        """Return why, without what is recorded under the key."""
        return "The Idempotency-Key was used with other values."


class Unavailable(PaymentsError):
    """The service cannot do it now; the same request may succeed later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class NotReady(Unavailable):
    """The service cannot record payments until a technician acts."""


class KeysUnavailable(Unavailable):
    """No keys for access tokens have been read, or those that were are too old."""


class BackendFault(Unavailable):
    """The Lightning node did not respond, or not as its API promises; `reason` says how, without the key."""

    def __init__(self, reason: str) -> None:
        super().__init__("The Lightning node does not respond as it should: try again, or take another method.")
        self.reason = reason

    def explain(self) -> str:
        """Return the reason."""
        return self.reason


class Busy(Unavailable):
    """Too many expensive requests run at once."""


class NotMigrated(PaymentsError):
    """The database lacks migrations. A retry does not help until somebody runs them."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("The database is not up to date: run `flask --app wsgi migrate`, or start wsgi.py.")


class NotConfigured(PaymentsError):
    """What the request needs is not set up. A retry does not help until somebody sets it up."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class SettingError(Exception):
    """A setting is invalid; the message is one line that names the variable."""


class UnusableDatabase(Exception):
    """The database cannot be used; the message is one line that says why."""


class UnusableFile(Exception):
    """A file cannot be imported; the message is one line that says why."""


class DamagedDatabase(UnusableDatabase):
    """The database is damaged: a backup has to replace it."""
