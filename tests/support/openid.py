"""An OpenID provider for tests: it gives unsigned tokens by client credentials, until it is told otherwise."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs

CLIENT: Final = "emotions"
SECRET: Final = "s3cret/+&"  # noqa: S105 - of a provider that lives as long as a test.


def unsigned_token(lifetime_s: float) -> str:
    """Return a token in JWT's form that lasts from now on; a lifetime below zero has passed already."""
    now = time.time()
    claims = {"sub": "worker", "iat": now - 60, "exp": now + lifetime_s}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), ""])


class OpenIdProvider:
    """What the provider's server knows.

    Attributes:
        url: its token endpoint.
        given: the tokens that it gave.
        forms: what it was asked, each a form.
        lifetime_s: how long its tokens last.
        answer: status and body to answer with in place of a token, where set.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/token"
        self.given: list[str] = []
        self.forms: list[dict[str, list[str]]] = []
        self.lifetime_s = 3600.0
        self.answer: tuple[int, str] | None = None

    def settings(self) -> dict[str, str]:
        """Return what a worker is told to get its tokens here."""
        return {
            "WORKER_KAFKA_OAUTH_ENDPOINT": self.url,
            "WORKER_KAFKA_OAUTH_CLIENT_ID": CLIENT,
            "WORKER_KAFKA_OAUTH_CLIENT_SECRET": SECRET,
        }

    def reply(self, authorization: str, form: str) -> tuple[int, str]:
        """Return status and body of an answer."""
        self.forms.append(parse_qs(form))
        if self.answer:
            return self.answer
        # As RFC 6749 has it: both are form-encoded before they are joined.
        if authorization != f"Basic {base64.b64encode(b'emotions:s3cret%2F%2B%26').decode()}":
            return 401, json.dumps({"error": "invalid_client", "error_description": "no such client"})
        self.given.append(unsigned_token(self.lifetime_s))
        return 200, json.dumps({"access_token": self.given[-1], "expires_in": self.lifetime_s})


@contextmanager
def openid_provider() -> Iterator[OpenIdProvider]:
    """Run a provider."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, body = provider.reply(self.headers["Authorization"], form)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = OpenIdProvider(server.server_port)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield provider
        server.shutdown()
