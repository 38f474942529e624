"""`workflows.v1.DiagramService`: rendering of diagrams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilebox._core.protocol.workflows.v1 import diagram_pb2 as wire
from tilebox.server.access.keys import Permission
from tilebox.server.diagrams.rendering import DEFAULT_PADDING, RenderOptions

if TYPE_CHECKING:
    from tilebox.server.access.gatekeeper import Caller
    from tilebox.server.diagrams.rendering import Diagrams


class DiagramService:
    """Implements the service."""

    descriptor = wire.DESCRIPTOR.services_by_name["DiagramService"]
    permissions = {"Render": Permission.READ}  # noqa: RUF012

    def __init__(self, diagrams: Diagrams) -> None:
        self._diagrams = diagrams

    async def render(self, _: Caller, request: wire.RenderDiagramRequest) -> wire.Diagram:
        """Render a diagram in the D2 language as SVG."""
        return wire.Diagram(svg=await self._diagrams.render(request.diagram, render_options(request.render_options)))


def render_options(message: wire.RenderOptions) -> RenderOptions:
    """Parse render options; an empty or zero field means the default.

    Raises:
        InvalidArgumentError: A value is not supported.
    """
    return RenderOptions(
        layout=message.layout or "dagre",
        direction=message.direction or None,
        sketchy=message.sketchy,
        padding=message.padding or DEFAULT_PADDING,
        theme_id=message.theme_id if message.HasField("theme_id") else None,
    )
