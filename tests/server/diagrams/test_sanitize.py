"""Checks of SVGs: active content is rejected, everything that D2 renders passes."""

from __future__ import annotations

import pytest

from tilebox.server.diagrams import sanitize

SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 40 30">{}</svg>'


@pytest.mark.parametrize(
    "content",
    [
        "<script>alert(1)</script>",
        '<g onclick="alert(1)"/>',
        '<image href="https://a.org/x.png"/>',
        '<a href="javascript:alert(1)"><text>x</text></a>',
        '<a xlink:href="java&#10;script:alert(1)"><text>x</text></a>',
        '<use href="https://a.org/x.svg#y"/>',
        '<a href="data:text/html,x"><text>x</text></a>',
        '<foreignObject><div xmlns="http://www.w3.org/1999/xhtml"><img src="x"/></div></foreignObject>',
        '<foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>',
        '<foreignObject><style xmlns="http://www.w3.org/1999/xhtml">a {}</style></foreignObject>',
        "<style>@import 'https://a.org/x.css';</style>",
        "<style>a { background: url(https://a.org/x.png) }</style>",
        "<style>a { background: u\\72l(https://a.org/x.png) }</style>",
        "<rect style=\"background: URL( '//a.org/x.png')\"/>",
        '<rect style="background: u\\72l(//a.org/x.png)"/>',
        '<rect fill="url(https://a.org/x.svg#p)"/>',
        '<animate attributeName="href" to="javascript:alert(1)"/>',
        "<math/>",
        '<g xmlns="http://elsewhere.org"/>',
        "<g>",
        "<?xml-stylesheet href='x'?>",
    ],
)
def test_an_active_svg_is_rejected(content):
    with pytest.raises(ValueError, match=r"^its? "):
        sanitize.check(SVG.format(content).encode())


def test_an_svg_with_entities_is_rejected():
    with pytest.raises(ValueError, match="document type"):
        sanitize.check(b'<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG.format("<text>&a;</text>").encode())


def test_a_passive_svg_is_accepted():
    sanitize.check(
        SVG.format(
            '<style>a { background: url("data:application/font-woff;base64,AAAA") }</style>'
            '<rect fill="url(#p)"/><a href="https://tilebox.com"><text>say \\ x</text></a>'
            '<foreignObject><div xmlns="http://www.w3.org/1999/xhtml"><p>text</p></div></foreignObject>'
        ).encode()
    )


def test_an_svg_is_not_wider_than_its_page():
    fitted = sanitize.fit_to_page(SVG.format("").encode())
    assert b'viewBox="0 0 40 30" width="40" style="max-width: 100%; height: auto">' in fitted
    assert sanitize.fit_to_page(b"<svg/>") == b"<svg/>"
