"""Checks of SVGs that D2 rendered from untrusted text, and their size on a page. Without IO."""

from __future__ import annotations

import re
from xml.parsers import expat

_SVG = "http://www.w3.org/2000/svg"
_XHTML = "http://www.w3.org/1999/xhtml"
_SHAPES = """
    a circle clipPath defs ellipse filter feDropShadow foreignObject g line linearGradient marker mask path
    pattern polygon polyline radialGradient rect stop style svg symbol text textPath title tspan use
"""
_MARKDOWN = """
    a b blockquote br code del div em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong sub sup
    table tbody td th thead tr u ul
"""
_ALLOWED = {_SVG: frozenset(_SHAPES.split()), _XHTML: frozenset(_MARKDOWN.split())}
# The targets that a link may have.
_LINK = re.compile(r"(https?|mailto):", re.IGNORECASE)
_FRAGMENT = re.compile(r"#[\w.-]*$")
# References in styles that are not allowed: all but fragments, and the fonts and images that the SVG embeds.
_REFERENCE = re.compile(r"url\s*+\(\s*+[\"']?+(?!#|data:application/font-woff;|data:image/png;)", re.IGNORECASE)
_ROOT = re.compile(r'<svg [^>]*?viewBox="0 0 (\d+) (\d+)"')


def check(svg: bytes) -> None:
    """Check that an SVG runs no script and loads nothing when it is shown.

    Raises:
        ValueError: It does, or might; the message names the cause.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    open_elements: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if local not in _ALLOWED.get(namespace, ()):
            raise ValueError(f"it contains an element {local[:40]!r}, which is not allowed")
        open_elements.append(local)
        for key, value in attributes.items():
            _check_attribute(local, key.rpartition(" ")[2], value)

    def text(content: str) -> None:
        if open_elements and open_elements[-1] == "style":
            _check_style(content)

    def refuse(*_: object) -> None:
        raise ValueError("it declares a document type")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_elements.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    parser.ProcessingInstructionHandler = refuse
    try:
        parser.Parse(svg, True)
    except expat.ExpatError as error:
        raise ValueError(f"it is not well-formed: {error}") from None


def fit_to_page(svg: bytes) -> bytes:
    """Set the width of an SVG from D2 to its natural size, limited to the width of the page."""
    start = svg[:2048].decode("utf-8", errors="ignore")
    found = _ROOT.search(start)
    if found is None:
        return svg
    at = len(start[: found.end()].encode())
    return svg[:at] + f' width="{found[1]}" style="max-width: 100%; height: auto"'.encode() + svg[at:]


def _check_attribute(element: str, name: str, value: str) -> None:
    if name.lower().startswith("on"):
        raise ValueError(f"it contains an attribute {name[:40]!r}, which is not allowed")
    if name.lower() in {"href", "src", "srcset", "data", "action", "formaction", "background", "poster"}:
        target = re.sub(r"[\s\x00-\x1f]", "", value)
        is_link = element == "a" and name.lower() == "href" and _LINK.match(target)
        if not is_link and not _FRAGMENT.match(target):
            raise ValueError(f"it refers to {value[:80]!r}; icons and images are not loaded, links need https")
    else:
        _check_style(value, may_escape=name.lower() in {"class", "id", "alt", "title"})


def _check_style(content: str, *, may_escape: bool = False) -> None:
    # An escape could hide any of these.
    if _REFERENCE.search(content) or "@import" in content.lower() or ("\\" in content and not may_escape):
        raise ValueError("its styles refer to something outside of the diagram")
