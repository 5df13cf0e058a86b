"""Read requests: oversized bodies, and the malformed requests that waitress 3.0.2 mishandles."""
import re
from typing import Any

from waitress.buffers import OverflowableBuffer
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, RequestEntityTooLarge

from ..web.parsing import MAX_BODY_BYTES

# An oversized body of up to this size is read to its end and discarded; a larger one is rejected at once.
MAX_DISCARDED_BYTES = 16 * 1024 * 1024
TRANSFER_ENCODING = re.compile(rb"^transfer-encoding:[ \t]*(.*?)[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
MANY_BLANKS = re.compile(rb"[ \t]{100}")


class BodyBuffer(OverflowableBuffer):
    """Keeps the body of a request, but no more of it than the application needs to see that it is too large.

    Works around: waitress 3.0.2 keeps all that it reads of a body, on the disk from 512 KiB on. Fifty clients without a
    token and with 14 MB each fill 600 MiB of the disk, and nothing with this buffer.
    Drop when: waitress can read a body to its end without keeping it.
    """

    def append(self, data: bytes) -> None:
        """Add bytes to the body."""
        super().append(data[: max(0, MAX_BODY_BYTES + 1 - len(self))])


class RequestParser(HTTPRequestParser):
    """Reads a request, and leaves it to the application to reject an oversized body.

    Works around: waitress 3.0.2 rejects such a request by itself, so the application cannot check its token first. It
    also closes the connection at once: 30 of 30 clients that send 15 MB before they read got a reset, and no response.
    So a body of up to `MAX_DISCARDED_BYTES` is read to its end: all 30 got the response, and the connection stays open.
    Drop when: waitress reads oversized bodies to their end and leaves the response to the application.
    """

    headers: dict[str, str]
    error: Any
    body_rcv: Any
    expect_continue: bool

    def received(self, data: bytes) -> int:
        """Read bytes of the request and return how many belong to it."""
        try:
            consumed: int = super().received(data)
        except ValueError as error:
            # int() rejects a Content-Length of more than 4,300 digits, and waitress 3.0.2 then closes the connection
            # without a response. Drop when waitress catches the error.
            self.error = BadRequest(str(error))
            self.completed = True
            consumed = len(data)
        # A client that asks first (RFC 9110, section 10.1.1) need not send a body that will be rejected.
        asks_first = self.error is None and self.expect_continue and self.content_length > MAX_BODY_BYTES
        if asks_first or isinstance(self.error, RequestEntityTooLarge):
            self._reject_unread_body()
        if self.completed:
            # waitress 3.0.2 sends "100 Continue" to a request without a body, and then takes the next request on the
            # connection for its body: two requests got one response. Drop when waitress ignores that "Expect".
            self.expect_continue = False
        return consumed

    def _reject_unread_body(self) -> None:
        """Hand the request to the application without its body, and close the connection after the response."""
        self.completed = True
        self.error = self.body_rcv = None
        self.headers["CONTENT_LENGTH"] = str(max(self.content_length, self.body_bytes_received))
        self.headers["CONNECTION"] = "close"

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the request line and the headers; raises `ParsingError` for those that are not safe to accept."""
        # waitress 3.0.2 parses a run of blanks in quadratic time: about a second for 15,000, on the thread that serves
        # all connections. Drop when its HEADER_FIELD_RE takes linear time.
        if MANY_BLANKS.search(header_plus):
            raise ParsingError("Too many blanks in a row")
        super().parse_header(header_plus)
        if self.body_rcv is not None:
            self.body_rcv.buf = BodyBuffer(self.adj.inbuf_overflow)
        self._check_transfer_encoding(header_plus)

    def _check_transfer_encoding(self, header_plus: bytes) -> None:
        """Raise `ParsingError` for what another server may read differently (RFC 9112, section 6.1).

        Works around: waitress 3.0.2 accepts "chunked" twice, an empty list and a Content-Length beside it, and ignores
        Transfer-Encoding in HTTP/1.0. Each can smuggle a request past a proxy.
        Drop when: waitress > 3.0.2 closes the connection after all four. Its main branch does so for the first and the
        third only.
        """
        encodings = [encoding.lower() for encoding in TRANSFER_ENCODING.findall(header_plus)]
        if encodings and (encodings != [b"chunked"] or self.version != "1.1" or "CONTENT_LENGTH" in self.headers):
            raise ParsingError("Transfer-Encoding is not chunked alone")
