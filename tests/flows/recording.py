"""An HTTP server that answers every request with one status, and keeps the requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@contextmanager
def recording_server(status: HTTPStatus) -> Iterator[tuple[str, list[str]]]:
    """Yield its address, and a list that gets the body of each POST, and the path of each other request."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.path)
            self._answer()

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._answer()

        def _answer(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
