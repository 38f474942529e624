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

START_SECONDS = 60


class LocalServer:
    """A server for tests and examples: real, on a free port of this machine, gone afterwards.

    Use it as a context manager, or call `start` and `stop`.

    Args:
        data_dir: Where it keeps everything; a temporary folder by default, which `stop` removes.
        settings: Settings of the server, such as `max_subtasks=1000`.

    Attributes:
        url: Where it answers.
        token: An API key of role admin.

    Raises:
        MissingExtraError: The extra `server` is not installed.
    """

    url: str
    token: str

    def __init__(self, data_dir: Path | str | None = None, **settings: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tilebox-") if data_dir is None else None
        self._data_dir = Path(data_dir or self._folder.name)  # type: ignore[union-attr]
        self._settings = settings
        self._has_started = threading.Event()
        self._running: Running | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tilebox-server", daemon=True)

    def start(self) -> Self:
        """Return once it answers.

        Raises:
            RuntimeError: It did not start; the cause says why.
        """
        self._thread.start()
        if not self._has_started.wait(START_SECONDS) or self._running is None:
            raise RuntimeError("the server did not start") from self._error
        self.url = self._running.url
        self.token = self._running.first_key or (self._data_dir / "api-key").read_text().strip()
        return self

    def stop(self) -> None:
        """Let it finish what is under way, and remove its temporary folder."""
        if self._running is not None:
            self._running.stop()
        self._thread.join(START_SECONDS)
        if self._folder is not None:
            self._folder.cleanup()
        if self._error is not None:
            raise RuntimeError("the server failed") from self._error

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

    def _run(self) -> None:
        try:
            try:
                from tilebox.server.process.run import serve
                from tilebox.server.settings import Settings
            except ModuleNotFoundError as error:
                raise MissingExtraError("a server in this process", "server") from error
            settings = Settings.read({}, data_dir=self._data_dir, port=0, **self._settings)
            anyio.run(serve, settings, self._note_start)
        except BaseException as error:  # noqa: BLE001 - told to whoever started it
            self._error = error
        finally:
            self._has_started.set()

    def _note_start(self, running: Running) -> None:
        self._running = running
        self._has_started.set()
