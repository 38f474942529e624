"""A server in a thread of this process."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anyio

from tilebox.errors import MissingExtraError

if TYPE_CHECKING:
    from types import TracebackType

    from tilebox.datasets import Client as DatasetsClient
    from tilebox.server.process.run import Running
    from tilebox.workflows import Client as WorkflowsClient

# Long enough for a busy machine; only a server that hangs takes longer.
_TIMEOUT_SECONDS = 300


class LocalServer:
    """A real server for tests and examples, on a free port of this machine.

    Use it as a context manager, or call `start` and `stop`.

    Args:
        data_dir: The data directory, which may be that of an earlier server. By default a temporary directory, which
            `stop` removes.
        token: An API key that exists in the data directory. By default the key that the server creates at its first
            start.
        settings: Settings of the server, such as `max_subtasks=1000`.

    Attributes:
        url: The URL of the server.
        token: The API key, of role admin unless you gave another one.
        data_dir: The data directory.
    """

    url: str
    token: str
    data_dir: Path

    def __init__(self, data_dir: Path | str | None = None, *, token: str | None = None, **settings: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tilebox-") if data_dir is None else None
        self.data_dir = Path(data_dir or self._folder.name)  # type: ignore[union-attr]
        self._given_token = token
        self._settings = settings
        self._has_started = threading.Event()
        self._running: Running | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tilebox-server", daemon=True)

    def start(self) -> Self:
        """Start the server and wait until it answers.

        Returns:
            The server itself.

        Raises:
            RuntimeError: The server did not start, for example because the extra `server` is not installed.
        """
        self._thread.start()
        self._has_started.wait(_TIMEOUT_SECONDS)
        if self._running is None:
            self._remove_temporary_folder()
            reason = self._error or f"it does not answer after {_TIMEOUT_SECONDS} s"
            raise RuntimeError(f"the server did not start: {reason}") from self._error
        self.url = self._running.url
        self.token = self._given_token or self._running.first_key or (self.data_dir / "api-key").read_text().strip()
        return self

    def stop(self) -> None:
        """Stop the server after its current requests, and remove the temporary directory.

        Raises:
            RuntimeError: The server failed, as the cause explains, or does not stop.
        """
        if self._running is not None:
            self._running.stop()
        self._thread.join(_TIMEOUT_SECONDS)
        self._remove_temporary_folder()
        if self._error is not None:
            raise RuntimeError("the server failed") from self._error
        if self._thread.is_alive():
            raise RuntimeError(f"the server did not stop within {_TIMEOUT_SECONDS} s")

    def workflows(self) -> WorkflowsClient:
        """Return a workflows client for this server."""
        from tilebox.workflows import Client

        return Client(url=self.url, token=self.token)

    def datasets(self) -> DatasetsClient:
        """Return a datasets client for this server."""
        from tilebox.datasets import Client

        return Client(url=self.url, token=self.token)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _remove_temporary_folder(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def _run(self) -> None:
        try:
            try:
                from tilebox.server.process.run import serve
                from tilebox.server.settings import Settings
            except ModuleNotFoundError as error:
                raise MissingExtraError("a server in this process", "server") from error
            settings = Settings.read({}, data_dir=self.data_dir, port=0, **self._settings)
            anyio.run(serve, settings, self._note_start)
        except BaseException as error:  # noqa: BLE001 - `start` and `stop` raise it
            self._error = error
        finally:
            self._has_started.set()

    def _note_start(self, running: Running) -> None:
        self._running = running
        self._has_started.set()
