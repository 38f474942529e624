"""SVGs that D2 drew: what may be in one that anybody's text was drawn into, and how it fits a page. Pure."""

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
# What may lie behind a link that somebody clicks on.
_LINK = re.compile(r"(https?|mailto):", re.IGNORECASE)
_INNER = re.compile(r"#[\w.-]*$")
# References of style sheets: fonts and patterns that the SVG brings along, nothing from elsewhere.
_REFERENCE = re.compile(r"url\s*+\(\s*+[\"']?+(?!#|data:application/font-woff;|data:image/png;)", re.IGNORECASE)
_OUTER = re.compile(r'<svg [^>]*?viewBox="0 0 (\d+) (\d+)"')


def check(svg: bytes) -> None:
    """Refuse an SVG that runs a script, or that loads something when it is shown.

    Raises:
        ValueError: It does, or might; the message says by what.
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
    """Let an SVG of D2 be as large as it was drawn, and no wider than the page that shows it."""
    start = svg[:2048].decode("utf-8", errors="ignore")
    found = _OUTER.search(start)
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
        if not is_link and not _INNER.match(target):
            raise ValueError(f"it refers to {value[:80]!r}; icons and images are not loaded, links need https")
    else:
        _check_style(value, may_escape=name.lower() in {"class", "id", "alt", "title"})


def _check_style(content: str, *, may_escape: bool = False) -> None:
    # An escape could spell what is looked for here.
    if _REFERENCE.search(content) or "@import" in content.lower() or ("\\" in content and not may_escape):
        raise ValueError("its styles refer to something outside of it")
