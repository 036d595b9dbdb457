# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Contact sheets: pairs as cards of colour beside depth, with a label and its probability.

As HTML for a page, and as one PNG to send around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import cv2
from edgevl_training.report.drawing import png_of
from edgevl_training.report.page import data_uri, Html
from edgevl_training.report.style import ACCENT, FAINT, INK, LINE
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
import numpy as np
from numpy.typing import NDArray

_THUMBNAIL = (320, 240)
_JPEG_QUALITY = 82
_SHEET_COLUMNS = 4


@dataclass(frozen=True)
class Card:
    """
    One pair of a contact sheet.

    ``color`` and ``second`` are uint8 (H, W, 3) RGB; ``second`` is None for pairs of colour alone.
    """

    label: str
    probability: float
    note: str
    color: NDArray[np.uint8]
    second: NDArray[np.uint8] | None = None
    colour: str = ACCENT


def thumbnail(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the middle out, four to three, and make it small."""
    height, width = rgb.shape[:2]
    cut_height = min(height, max(1, width * 3 // 4))
    cut_width = min(width, max(1, height * 4 // 3))
    y, x = (height - cut_height) // 2, (width - cut_width) // 2
    middle = rgb[y:y + cut_height, x:x + cut_width]
    return np.asarray(cv2.resize(middle, _THUMBNAIL, interpolation=cv2.INTER_AREA), np.uint8)


def cards(items: Sequence[Card]) -> Html:
    """Show cards in a grid."""
    return Html('<div class="cards">' + ''.join(map(_card, items)) + '</div>')


def sheet(title: str, items: Sequence[Card]) -> bytes:
    """Draw cards as one PNG."""
    columns = min(_SHEET_COLUMNS, max(1, len(items)))
    rows = -(-len(items) // columns)
    width, height = 3.5 * columns, 0.7 + 1.95 * rows
    drawing = Figure(figsize=(width, height))
    drawing.text(0.12 / width, 1 - 0.4 / height, title, size=15, weight='bold', color=INK)
    for index, item in enumerate(items):
        left = 3.5 * (index % columns) + 0.12
        bottom = height - 0.7 - 1.95 * (index // columns) - 1.24
        _draw(drawing, item, left, bottom, width, height)
    return png_of(drawing, dpi=100)


def _card(item: Card) -> Html:
    pictures = ''.join(
        f'<img src="{data_uri(_jpeg(picture), "jpeg")}" alt="{what}">'
        for what, picture in (('colour', item.color), ('second modality', item.second))
        if picture is not None
    )
    return Html(
        f'<div class="card"><div class="pictures">{pictures}</div><div class="text">'
        f'<div class="label"><span>{escape(item.label)}</span>'
        f'<span>{item.probability:.0%}</span></div>'
        f'<div class="bar"><i style="width:{100 * item.probability:.1f}%;'
        f'background:{item.colour}"></i></div>'
        f'<div class="note">{escape(item.note)}</div></div></div>'
    )


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(thumbnail(rgb), cv2.COLOR_RGB2BGR)
    return cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


def _draw(
    drawing: Figure, item: Card, left: float, bottom: float, width: float, height: float
) -> None:
    """Draw a card, its pictures at a place in inches."""
    for index, picture in enumerate([item.color, item.second]):
        if picture is None:
            continue
        axes = drawing.add_axes((
            (left + 1.64 * index) / width, bottom / height, 1.62 / width, 1.215 / height
        ))
        axes.imshow(thumbnail(picture))
        axes.axis('off')
    text: dict[str, Any] = {'x': left / width, 'va': 'center', 'parse_math': False}
    drawing.text(
        y=(bottom - 0.13) / height, s=_shortened(item.label, 34), size=10.5, weight='bold',
        color=INK, **text,
    )
    drawing.text(
        (left + 3.26) / width, (bottom - 0.13) / height, f'{item.probability:.0%}', size=10.5,
        weight='bold', color=INK, va='center', ha='right',
    )
    for share, colour in ((1.0, LINE), (item.probability, item.colour)):
        drawing.add_artist(Rectangle(
            (left / width, (bottom - 0.3) / height), 3.26 * share / width, 0.045 / height,
            color=colour, linewidth=0,
        ))
    drawing.text(
        y=(bottom - 0.42) / height, s=_shortened(item.note, 56), size=7.5, color=FAINT, **text
    )


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else f'{text[:letters - 1]}\u2026'
