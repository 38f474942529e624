"""A small web server with the responses of the Dog API and the News API, so that the examples need no network."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

# The smallest GIF there is: one white pixel.
PIXEL = bytes.fromhex("47494638396101000100800000ffffff00000021f90400000000002c00000000010001000002024401003b")

ARTICLES = [
    {"publishedAt": "2026-03-16T08:00:00Z", "author": "Ada Byron", "title": "A week of images over the delta"},
    {"publishedAt": "2026-03-17T09:30:00Z", "author": "Grace Murray", "title": "Clouds give way over the Alps"},
    {"publishedAt": "2026-03-17T18:45:00Z", "author": "Ada Byron", "title": "Snow line moves up by 200 metres"},
    {"publishedAt": "2026-03-18T07:15:00Z", "author": "Mary Fairfax", "title": "Two satellites, one river"},
    {"publishedAt": "2026-03-19T12:00:00Z", "author": "Grace Murray", "title": "What a swath is"},
]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/v1/images/search":
            host, port = self.server.server_address[:2]
            urls = [f"http://{host!s}:{port}/images/dog-{number}.gif" for number in range(int(query["limit"]))]
            self._respond(json.dumps([{"url": url} for url in urls]).encode(), "application/json")
        elif parts.path == "/v2/top-headlines":
            articles = ARTICLES[: int(query["pageSize"])]
            self._respond(json.dumps({"articles": articles}).encode(), "application/json")
        elif parts.path.startswith("/images/"):
            self._respond(PIXEL, "image/gif")
        else:
            self.send_error(404)

    def _respond(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def fake_api() -> Iterator[str]:
    """Run the server and yield its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
