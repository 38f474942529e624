"""The D2 text of a job's diagram: labels, colours, boxes and edges. Without IO."""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilebox.server.rules.task_states import TaskState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from tilebox.server.diagrams.bundling import Diagram, Node
    from tilebox.server.diagrams.graph import JobGraph, Theme

# Fewer sibling tasks stand side by side. From this number on, those without subtasks are put into a grid.
_MIN_GRID_CELLS = 9
_MAX_LINE_CHARACTERS = 40
# A bundle that waits for this many others in sequence is far below its parent. An edge from the parent would say
# little, and a hundred of them take the layout engine half a minute.
_FAR_LEVEL = 4
_MAX_DEPENDENCY_EDGES = 400


@dataclass(frozen=True, slots=True)
class _Colours:
    fill: str
    stroke: str


_LIGHT = {
    TaskState.QUEUED: _Colours("#FFE3B8", "#E0913A"),
    TaskState.RUNNING: _Colours("#BFDBFE", "#2563EB"),
    TaskState.COMPUTED: _Colours("#BBF0CB", "#1E9E4E"),
    TaskState.FAILED: _Colours("#FCA5A5", "#C81E1E"),
    TaskState.SKIPPED: _Colours("#E5E7EB", "#8A94A3"),
    TaskState.FAILED_OPTIONAL: _Colours("#FDE0E0", "#C81E1E"),
}
_DARK = {
    TaskState.QUEUED: _Colours("#7A4B12", "#F2B45C"),
    TaskState.RUNNING: _Colours("#1E429F", "#7FB2FF"),
    TaskState.COMPUTED: _Colours("#14532D", "#4ADE80"),
    TaskState.FAILED: _Colours("#991B1B", "#FCA5A5"),
    TaskState.SKIPPED: _Colours("#3B4252", "#9AA4B5"),
    TaskState.FAILED_OPTIONAL: _Colours("#4A2530", "#FCA5A5"),
}
_STATE_NAMES = {
    TaskState.QUEUED: "queued",
    TaskState.RUNNING: "running",
    TaskState.COMPUTED: "computed",
    TaskState.FAILED: "failed",
    TaskState.SKIPPED: "skipped",
    TaskState.FAILED_OPTIONAL: "failed, optional",
}
# The order of the stripes of a bundle, from finished to queued.
_PROGRESS = (
    TaskState.FAILED,
    TaskState.FAILED_OPTIONAL,
    TaskState.COMPUTED,
    TaskState.SKIPPED,
    TaskState.RUNNING,
    TaskState.QUEUED,
)
# The narrowest stripe in percent, so that one failure among thousands is visible.
_MIN_STRIPE_PERCENT = 5


def d2_lines(
    graph: JobGraph, diagram: Diagram, theme: Theme, direction: str, *, include_job_name: bool
) -> Iterator[str]:
    """Yield the lines of the D2 text of a diagram."""
    palette = _DARK if theme.is_dark else _LIGHT
    text, line = ("#F3F4F6", "#9AA4B5") if theme.is_dark else ("#111827", "#5B6472")
    states = {state for node in diagram.nodes for state, count in node.states.items() if count}
    yield f"direction: {direction}"
    if theme.is_transparent:
        yield "style.fill: transparent"
    yield from _styles(states, palette, text, line)
    if len(states) > 1:
        yield from _legend(states)
    if include_job_name:
        name = label(f"{graph.job_name}\n{graph.state.name.lower()}")
        yield f"title: {name} {{shape: text; near: top-center; style.font-size: 24; style.font-color: {quoted(text)}}}"
    yield from _nodes_and_edges(diagram, palette)


def _styles(states: Iterable[TaskState], palette: dict[TaskState, _Colours], text: str, line: str) -> Iterator[str]:
    yield "classes: {"
    for state in sorted(states):
        colours = palette[state]
        dash = "; stroke-dash: 4" if state is TaskState.FAILED_OPTIONAL else ""
        yield (
            f"  s{state.value}: {{style: {{fill: {quoted(colours.fill)}; stroke: {quoted(colours.stroke)}; "
            f"font-color: {quoted(text)}; border-radius: 6{dash}}}}}"
        )
    yield "  optional: {style: {stroke-dash: 4}}"
    yield "  sample: {height: 30; style.font-size: 13; style.bold: false; style.stroke-width: 1}"
    yield "  bundle: {style: {multiple: true}}"
    yield f"  grid: {{grid-gap: 12; style: {{fill: transparent; stroke: {quoted(line)}; stroke-width: 1}}}}"
    yield f"  joint: {{shape: circle; width: 10; height: 10; style: {{fill: {quoted(line)}; stroke: {quoted(line)}}}}}"
    yield f"  submits: {{style: {{stroke: {quoted(line)}}}}}"
    yield f"  precedes: {{style: {{stroke: {quoted(line)}; stroke-dash: 5}}}}"
    yield "}"


def _legend(states: Collection[TaskState]) -> Iterator[str]:
    yield 'legend: "" {near: bottom-center; grid-rows: 1; grid-gap: 8; style: {fill: transparent; stroke-width: 0}'
    for state in TaskState:
        if state in states:
            yield f"  s{state.value}: {label(_STATE_NAMES[state])} {{class: [s{state.value}; sample]}}"
    yield "}"


def _nodes_and_edges(diagram: Diagram, palette: dict[TaskState, _Colours]) -> Iterator[str]:
    members: defaultdict[int, list[Node]] = defaultdict(list)
    for node in diagram.nodes:
        members[node.bundle].append(node)
    parents = {node.parent.name for node in diagram.nodes if node.parent is not None}
    cells = {bundle: _cells(nodes, parents) for bundle, nodes in members.items()}
    awaited = _awaited(diagram.dependencies)
    levels = _waiting_levels(awaited)
    ends: defaultdict[int, list[str]] = defaultdict(list)
    edges: list[str] = []
    for bundle, nodes in members.items():
        # An edge from the parent would cross many nodes, or a box.
        is_far = levels.get(bundle, 0) >= _FAR_LEVEL or any(cells.get(before) for before in awaited.get(bundle, ()))
        inside = {node.name for node in cells[bundle]}
        shapes = [(node, node.name) for node in nodes if node.name not in inside]
        if inside:
            yield from _box(f"g{bundle}", cells[bundle], palette)
            shapes.append((cells[bundle][0], f"g{bundle}"))
        for node, shape in shapes:
            if node.name == shape:
                yield _node(node, palette)
            ends[bundle].append(shape)
            if node.parent is not None and not is_far:
                edges.append(f"{node.parent.name} -> {shape}: {{class: submits}}")
    yield from edges
    yield from _dependency_edges(awaited, ends)


def _cells(nodes: list[Node], parents: Collection[str]) -> list[Node]:
    """Return the nodes of a bundle that are put into a grid, if there are many."""
    cells = [node for node in nodes if not node.is_bundle and node.name not in parents]
    # One edge leads to the box, so all cells must have the same parent.
    is_box = len(cells) >= _MIN_GRID_CELLS and len({node.parent.name if node.parent else "" for node in cells}) == 1
    return cells if is_box else []


def _box(name: str, cells: list[Node], palette: dict[TaskState, _Colours]) -> Iterator[str]:
    columns = min(12, math.ceil(math.sqrt(len(cells) / 2)) + 1)
    yield f'{name}: "" {{class: grid; grid-rows: {math.ceil(len(cells) / columns)}; grid-columns: {columns}'
    yield from (f"  {_node(node, palette)}" for node in cells)
    yield "}"


def _awaited(dependencies: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """Return the bundles that each bundle waits for directly (the transitive reduction of the dependencies)."""
    waits: defaultdict[int, list[int]] = defaultdict(list)
    for before, after in dependencies:
        waits[after].append(before)
    reached: dict[int, int] = {}
    reduced = {}
    # Bundles are numbered from the root down and by age, and tasks wait only for older ones, so this order is
    # topological. The sets of reachable bundles are bit masks.
    for after in sorted(waits):
        direct = sorted(waits[after], reverse=True)
        seen, needed = 0, []
        for before in direct:
            if not seen >> before & 1:
                needed.append(before)
            seen |= reached.get(before, 0) | 1 << before
        reached[after] = seen
        reduced[after] = sorted(needed)
    return reduced


def _waiting_levels(awaited: dict[int, list[int]]) -> dict[int, int]:
    """Return the length of the longest chain of dependencies before each bundle."""
    levels: dict[int, int] = {}
    for after in sorted(awaited):
        levels[after] = 1 + max(levels.get(before, 0) for before in awaited[after])
    return levels


def _dependency_edges(awaited: dict[int, list[int]], ends: dict[int, list[str]]) -> Iterator[str]:
    """Yield the edges from bundles to those that wait for them, through a joint if that takes fewer edges."""
    by_dependencies: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for after, needed in awaited.items():
        by_dependencies[tuple(needed)].append(after)
    edge_count = 0
    for number, (awaited_bundles, waiting) in enumerate(by_dependencies.items()):
        sources = [end for bundle in awaited_bundles for end in ends.get(bundle, [])]
        targets = [end for bundle in waiting for end in ends.get(bundle, [])]
        edge_count += min(len(sources) * len(targets), len(sources) + len(targets))
        if edge_count > _MAX_DEPENDENCY_EDGES:
            yield 'note: "Not all dependencies are drawn" {shape: text; near: bottom-center}'
            return
        if len(sources) * len(targets) <= len(sources) + len(targets):
            yield from (f"{source} -> {target}: {{class: precedes}}" for source in sources for target in targets)
        else:
            yield f'j{number}: "" {{class: joint}}'
            yield from (f"{source} -- j{number}: {{class: precedes}}" for source in sources)
            yield from (f"j{number} -> {target}: {{class: precedes}}" for target in targets)


def _node(node: Node, palette: dict[TaskState, _Colours]) -> str:
    shown = [state for state in _PROGRESS if node.states[state] > 0]
    classes = [f"s{state.value}" for state in shown[:1]]
    count = node.states.total()
    text = node.label
    if node.is_bundle and count > 1:
        classes.append("bundle")
        text += f" × {count:,}"
        if len(shown) > 1:
            text += "\n" + "\n".join(f"{node.states[state]:,} {_STATE_NAMES[state]}" for state in shown)
    if node.is_optional:
        classes.append("optional")
    if node.below:
        failed = f", {node.below[TaskState.FAILED]:,} failed" if node.below[TaskState.FAILED] else ""
        text += f"\n+ {node.below.total():,} below{failed}"
    parts = [f"class: [{'; '.join(classes)}]"] if classes else []
    if len(shown) > 1:
        parts.append(f"style.fill: {quoted(_stripes(node.states, shown, palette))}")
        # The border colour of the first stripe would suggest that all tasks are in its state.
        if TaskState.FAILED not in shown:
            parts.append(f"style.stroke: {quoted(palette[_frame(shown)].stroke)}")
    return f"{node.name}: {label(text)} {{{'; '.join(parts)}}}"


def _frame(shown: Sequence[TaskState]) -> TaskState:
    return next((state for state in (TaskState.RUNNING, TaskState.QUEUED) if state in shown), shown[0])


def _stripes(states: Counter[TaskState], shown: Sequence[TaskState], palette: dict[TaskState, _Colours]) -> str:
    widths = [max(_MIN_STRIPE_PERCENT, 100 * states[state] / states.total()) for state in shown]
    stops, position = [], 0.0
    for state, width in zip(shown, widths, strict=True):
        until = position + 100 * width / sum(widths)
        stops += [f"{palette[state].fill} {round(position)}%", f"{palette[state].fill} {round(until)}%"]
        position = until
    return f"linear-gradient(to right, {', '.join(stops)})"


# Characters that XML does not allow: control characters, lone surrogates and noncharacters.
_INVALID_IN_XML = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_ESCAPED = {"\\": r"\\", '"': r"\"", "$": r"\$", "\n": r"\n"}


def quoted(text: str) -> str:
    """Return a text as a D2 string without special meaning."""
    valid = _INVALID_IN_XML.sub("\ufffd", text)
    return '"' + re.sub(r'[\\"$\n]', lambda found: _ESCAPED[found[0]], valid) + '"'


def label(text: str) -> str:
    """Return a name as a D2 string, wrapped to lines of readable length."""
    # Replace invalid characters before wrapping, which would strip some of them as whitespace.
    readable = _INVALID_IN_XML.sub("\ufffd", re.sub(r"[\t\x0b\x0c\r]", " ", text.replace("\r\n", "\n")))
    lines = readable.split("\n")
    return quoted("\n".join(part for line in lines for part in _wrapped(line)).strip("\n"))


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, _MAX_LINE_CHARACTERS, break_on_hyphens=False) or [""]
