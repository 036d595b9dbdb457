# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The building blocks of reports: self-contained, escaped, drawn."""

import base64
import re

import cv2
from edgevl_training.report import charts, page
from edgevl_training.report.cards import Card, cards, sheet, thumbnail
from edgevl_training.report.style import ACCENT
import numpy as np
import pytest

EVIL = '<script>alert("x")</script> & $x^2$'


def decoded(png: bytes) -> np.ndarray:
    """Read a PNG."""
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def drawn(png: bytes) -> bool:
    """Tell whether a picture holds more than paper."""
    image = decoded(png)
    return image.shape[0] > 100 and len(np.unique(image.reshape(-1, 3), axis=0)) > 20


def test_every_text_is_escaped():
    """Labels and paths are data, never markup, in every block."""
    picture = np.zeros((30, 40, 3), np.uint8)
    document = page.page(EVIL, EVIL, [
        page.heading(EVIL), page.paragraph(EVIL), page.facts([(EVIL, EVIL)]),
        page.table([EVIL], [[EVIL]]), page.figure(b'', EVIL, EVIL), page.folded(EVIL, EVIL),
        cards([Card(EVIL, 0.5, EVIL, picture, picture)]),
    ])
    assert '<script' not in document
    assert document.count('&lt;script&gt;') == 15


def test_a_page_fetches_nothing():
    """Pictures are inside, and the page's own policy forbids the rest."""
    document = page.page('report', '', [page.figure(b'\x89PNG', 'nothing')])
    assert 'default-src &#x27;none&#x27;' in document
    assert re.findall(r'(?:src|href)="([^"]{0,22})', document) == ['data:image/png;base64,']
    assert 'http:' not in document
    assert 'https:' not in document


def test_tables_align_numbers():
    """A column of numbers is set right, with thousands apart."""
    html = page.table(['reason', 'pairs'], [('kept', 12345), ('dropped', 6)])
    assert '<td class="number">12,345</td>' in html
    assert '<td>kept</td>' in html


@pytest.mark.parametrize('values', [
    np.random.default_rng(0).normal(size=500), np.full(5, 4.0), np.empty(0), np.array([np.nan]),
])
def test_histograms_of_anything(values):
    """Also of one value, of none and of no numbers."""
    groups = {'kept': (values, ACCENT), '_dropped': (values, '#cccccc')}
    assert drawn(charts.histogram('title', groups, 'x', mark=(0.2, 'tau')))
    assert drawn(charts.histogram('title', groups, 'x', log=True))
    assert drawn(charts.kept_curve('title', values, (0.2, 'tau'), 'tau'))


@pytest.mark.parametrize('count', [0, 1, 100])
def test_bars_of_a_hundred_labels(count):
    """Every label keeps a line of its own."""
    labels = [f'{EVIL} {index}' for index in range(count)]
    parts = {'train': (np.arange(count), ACCENT), 'dropped': (np.arange(count), '#cccccc')}
    png = charts.stacked_bars('title', labels, parts, 'pairs')
    assert drawn(png)
    # Two columns of fifty lines, each tall enough to be read.
    assert decoded(png).shape[0] >= 20 * min(count, 50)


def test_strips_of_moments():
    """Each kind is painted in its colour, where it is."""
    red, blue = '#ff0000', '#0000ff'
    rows = [(np.arange(100.0), np.repeat([0, 1], 50)), (np.empty(0), np.empty(0, int))]
    image = decoded(charts.strips('title', [EVIL, 'b'], rows, {'red': red, 'blue': blue}, 's'))
    where_red = np.flatnonzero((image == (0, 0, 255)).all(2).sum(0) > 20)
    where_blue = np.flatnonzero((image == (255, 0, 0)).all(2).sum(0) > 20)
    assert 0.4 < len(where_red) / (len(where_red) + len(where_blue)) < 0.6
    assert where_red.mean() < where_blue.mean()


@pytest.mark.parametrize('shape', [(480, 640), (1, 1), (3, 500), (500, 3)])
def test_thumbnails_of_any_shape(shape):
    """Cut to four by three from the middle."""
    assert thumbnail(np.zeros((*shape, 3), np.uint8)).shape == (240, 320, 3)


def test_cards_hold_the_pictures():
    """Colour first, the second modality beside it, and the probability as a bar."""
    red = np.zeros((30, 40, 3), np.uint8)
    red[..., 0] = 255
    html = cards([Card('kitchen', 0.427, 'train', red, 255 - red), Card('hall', 0.1, '', red)])
    pictures = [base64.b64decode(text) for text in re.findall(r'base64,([^"]+)"', html)]
    means = [decoded(picture).mean((0, 1)) for picture in pictures]
    assert [int(mean[2]) > 200 for mean in means] == [True, False, True]
    assert 'width:42.7%' in html
    assert drawn(sheet(EVIL, [Card(EVIL, 0.5, EVIL, red)] * 5))
