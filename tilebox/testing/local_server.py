"""A server in a thread of this process, with everything in a folder that goes away with it."""

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

# Long enough for a machine that is busy with other things: only a server that hangs takes longer.
_PATIENCE_SECONDS = 300


class LocalServer:
    """A server for tests and examples: real, on a free port of this machine, gone afterwards.

    Use it as a context manager, or call `start` and `stop`.

    Args:
        data_dir: The folder of its data, which may come from an earlier server; by default a temporary folder, which
            `stop` removes.
        token: An API key that its database already holds; by default the key that a server makes at its first start.
        settings: Settings of the server, such as `max_subtasks=1000`.

    Attributes:
        url: Its address.
        token: An API key of role admin.
        data_dir: The folder of its data.
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

        Raises:
            RuntimeError: It did not start, for instance because the extra `server` is not installed.
        """
        self._thread.start()
        self._has_started.wait(_PATIENCE_SECONDS)
        if self._running is None:
            self._remove_temporary_folder()
            reason = self._error or f"it does not answer after {_PATIENCE_SECONDS} s"
            raise RuntimeError(f"the server did not start: {reason}") from self._error
        self.url = self._running.url
        self.token = self._given_token or self._running.first_key or (self.data_dir / "api-key").read_text().strip()
        return self

    def stop(self) -> None:
        """Let requests under way finish, stop, and remove the temporary folder.

        Raises:
            RuntimeError: The server failed, which the cause explains, or does not stop.
        """
        if self._running is not None:
            self._running.stop()
        self._thread.join(_PATIENCE_SECONDS)
        self._remove_temporary_folder()
        if self._error is not None:
            raise RuntimeError("the server failed") from self._error
        if self._thread.is_alive():
            raise RuntimeError(f"the server did not stop within {_PATIENCE_SECONDS} s")

    def workflows(self) -> WorkflowsClient:
        """Return a client of its workflows."""
        from tilebox.workflows import Client

        return Client(url=self.url, token=self.token)

    def datasets(self) -> DatasetsClient:
        """Return a client of its datasets."""
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
