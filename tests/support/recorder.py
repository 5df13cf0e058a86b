"""A recorder of requests, in place of the service"""
import http.client
import http.server


class Recorder(http.server.ThreadingHTTPServer):
    """A server that records requests: the client's address, path, headers and body.

    `begun` also counts those whose body has not been received yet.
    """

    daemon_threads = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RecordingHandler)
        self.begun = 0
        self.asked = []


class RecordingHandler(http.server.BaseHTTPRequestHandler):
    """The request handler of a `Recorder`."""

    protocol_version = "HTTP/1.1"

    def respond(self):
        """Record a request and respond with 200."""
        self.server.begun += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.client_address, self.path, self.headers, body))
        self.send_response_only(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = respond

    def log_message(self, *args):
        """Log nothing."""
