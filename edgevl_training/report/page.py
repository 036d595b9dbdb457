# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A page in one self-contained HTML file: no script, nothing fetched, every text escaped.

The functions give pieces of HTML from plain texts and pictures; `page` puts pieces together.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import NewType

from edgevl_training.report.style import CSS

# HTML that is already escaped; every plain str is text.
Html = NewType('Html', str)

# A browser that obeys it could not fetch anything even if a text had slipped through.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, lead: str, pieces: Iterable[Html]) -> str:
    """Give the whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{CSS}</style></head>\n<body><main>\n'
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>\n'
        + '\n'.join(pieces) + '\n</main></body></html>\n'
    )


def heading(text: str, anchor: str = '') -> Html:
    """Begin a section, which `contents` may point at by its anchor."""
    place = f' id="{escape(anchor)}"' if anchor else ''
    return Html(f'<h2{place}>{escape(text)}</h2>')


def contents(sections: Sequence[tuple[str, str]]) -> Html:
    """Link to sections: (anchor, what it is)."""
    links = ''.join(
        f'<a href="#{escape(anchor)}">{escape(text)}</a>' for anchor, text in sections
    )
    return Html(f'<nav>{links}</nav>')


def notice(text: str) -> Html:
    """Give a paragraph that nobody may miss."""
    return Html(f'<p class="notice">{escape(text)}</p>')


def paragraph(text: str) -> Html:
    """Give a paragraph of plain text."""
    return Html(f'<p>{escape(text)}</p>')


def facts(items: Sequence[tuple[str, str]]) -> Html:
    """Show a few numbers large: (number, what it is)."""
    boxes = ''.join(
        f'<div class="fact"><b>{escape(number)}</b><span>{escape(what)}</span></div>'
        for number, what in items
    )
    return Html(f'<div class="facts">{boxes}</div>')


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str | int | float]], *, compact: bool = False
) -> Html:
    """
    Give a table; columns whose first cell is a number are aligned right.

    :param compact: of short cells, whose words are never broken.
    """
    lines = [list(row) for row in rows]
    kinds = [
        ' class="number"' if lines and isinstance(lines[0][i], (int, float)) else ''
        for i in range(len(headings))
    ]
    head = ''.join(f'<th{kind}>{escape(text)}</th>' for kind, text in zip(kinds, headings))
    body = ''.join(
        '<tr>' + ''.join(
            f'<td{kind}>{escape(_cell(value))}</td>' for kind, value in zip(kinds, row)
        ) + '</tr>'
        for row in lines
    )
    kind = ' class="compact"' if compact else ''
    return Html(f'<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def figure(png: bytes, what: str, caption: str = '', *, widest: int | None = None) -> Html:
    """
    Show a picture; ``what`` describes it to those who cannot see it.

    :param widest: width in pixels on the page; that of the page unless given.
    """
    limit = '' if widest is None else f' style="max-width:{widest}px"'
    below = f'<figcaption>{escape(caption)}</figcaption>' if caption else ''
    return Html(
        f'<figure{limit}><img src="{data_uri(png, "png")}" alt="{escape(what)}">{below}</figure>'
    )


def folded(summary: str, text: str) -> Html:
    """Hide a long text behind a line that opens it."""
    return Html(
        f'<details><summary>{escape(summary)}</summary><p>{escape(text)}</p></details>'
    )


def hidden(summary: str, pieces: Iterable[Html]) -> Html:
    """Hide pieces behind a line that opens them."""
    return Html(f'<details><summary>{escape(summary)}</summary>{"".join(pieces)}</details>')


def side_by_side(pieces: Iterable[Html]) -> Html:
    """Put pieces beside each other where the window is wide enough."""
    return Html('<div class="row">' + ''.join(pieces) + '</div>')


def data_uri(picture: bytes, kind: str) -> str:
    """Put a picture, png or jpeg, into an address."""
    return f'data:image/{kind};base64,{base64.b64encode(picture).decode("ascii")}'


def _cell(value: str | float) -> str:
    return f'{value:,}' if isinstance(value, (int, float)) else value
