"""Clients of an application in this process"""
import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient


class DocumentedClient(FlaskClient):
    """A client that fails a test if a response is not in the API document."""

    # The document is the same for all applications.
    paths: dict[str, Any] = {}

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """Send a request and check its response against the document."""
        response = super().open(*args, **kwargs)
        method = response.request.method
        with self.application.test_request_context(response.request.full_path, method=method) as context:
            rule = context.request.url_rule
        if rule is not None and method not in ("HEAD", "OPTIONS"):
            if not self.paths:
                self.paths.update(super().open("/openapi.json").json["paths"])
            operation = self.paths[re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule)][method.lower()]
            documented = operation["responses"][str(response.status_code)]
            if "content" in documented:
                assert response.content_type in documented["content"]
                assert response.data
            else:
                assert not response.data
        return response


def client_of(app: Flask, token: str) -> FlaskClient:
    """Return a client of `app` that sends `token`."""
    client = app.test_client(use_cookies=False)
    client.environ_base["HTTP_COOKIE"] = f"accessToken={token}"
    return client
