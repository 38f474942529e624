"""What stands in for the web services of the documentation: dogs, news and movies, as much of them as it asks for."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

ARTICLES = [
    (
        "2024-02-15",
        "Jeff Foust",
        "NASA selects ultraviolet astronomy mission but delays its launch two years - SpaceNews",
    ),
    ("2024-02-15", "Richard Tribou", "SpaceX launches Space Force mission from Cape Canaveral - Orlando Sentinel"),
    ("2024-02-14", "Jeff Renaud", "Saturn's largest moon most likely uninhabitable - Phys.org"),
    ("2024-02-14", "Neuroscience News", "AI Unveils Mysteries of Unknown Proteins' Functions - Neuroscience News"),
    ("2024-02-14", "Science X", "Anthropologists' research unveils early stone plaza in the Andes - Phys.org"),
]
MOVIES = {"The Matrix": "31 Mar 1999", "Shrek 2": "19 May 2004", "The Avengers": "04 May 2012"}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/v1/images/search":
            host, port = self.server.server_address[:2]
            # As the real one: more than were asked for, where few were.
            count = max(5, int(asked["limit"]))
            self._answer([{"url": f"http://{host!s}:{port}/images/dog-{number}.jpg"} for number in range(count)])
        elif parts.path.startswith("/images/"):
            self._answer({"a picture of": parts.path})
        elif parts.path == "/v2/top-headlines":
            articles = [
                {"publishedAt": f"{day}T12:00:00Z", "author": author, "title": title} for day, author, title in ARTICLES
            ]
            self._answer({"articles": articles[: int(asked["pageSize"])]})
        elif asked["t"] in MOVIES:
            self._answer({"Title": asked["t"], "Released": MOVIES[asked["t"]]})
        else:
            self._answer({"Response": "False", "Error": "Movie not found!"})

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def web_services() -> Iterator[str]:
    """Yield the address of a server that runs meanwhile."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
