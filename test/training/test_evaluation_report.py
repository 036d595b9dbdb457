# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Charts and words of the report, with few labels and with many."""

import cv2
from edgevl_training.evaluation.report_texts import verdict
from edgevl_training.evaluation.scores import compare_paired, reliability
from edgevl_training.report import comparison_charts as charts, page
from edgevl_training.report.maps import class_colours, point_map
from edgevl_training.report.style import ACCENT
import numpy as np
import pytest

EVIL = '<b>$x^2$</b> & _'


def decoded(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def drawn(png):
    image = decoded(png)
    return image.shape[0] > 100 and len(np.unique(image.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize('labels', [2, 27, 100])
def test_confusion_matrices_stay_readable(labels):
    """Every label keeps room for its name: at least ten pixels of height."""
    names = [f'{EVIL} {index}' for index in range(labels)]
    counts = np.random.default_rng(0).poisson(0.3, (labels, labels))
    counts += 5 * np.eye(labels, dtype=int)
    png = charts.matrix('title', counts, names, names, 'truth', 'said')
    assert drawn(png)
    assert decoded(png).shape[0] >= 10 * labels
    # The diagonal is darker than the rest.
    dark = decoded(png).min(2) < 140
    assert 0.0005 < dark.mean() < 0.5


def test_a_matrix_may_have_columns_that_are_never_true():
    counts = np.array([[3, 1, 0], [0, 0, 2]])
    assert drawn(charts.matrix('t', counts, ['a', 'b'], ['a', 'b', 'c'], 'truth', 'said'))


@pytest.mark.parametrize('labels', [1, 27, 100])
def test_every_label_keeps_a_row(labels):
    share = np.linspace(0, 1, labels)
    share[0] = np.nan
    png = charts.class_shares(
        'title', [f'{EVIL} {i}' for i in range(labels)],
        {'_a': (share, ACCENT), 'b': (share[::-1], '#888888')}, 'accuracy')
    assert drawn(png)
    assert decoded(png).shape[0] >= 20 * min(labels, 50)


def test_shares_lie_where_they_belong():
    """The dot of a larger share lies further to the right."""
    blue, red = '#0000ff', '#ff0000'
    panels = {'colour': {'a': charts.Share(0.2, 0.15, 0.25), 'b': charts.Share(0.8, 0.7, 0.9)}}
    image = decoded(charts.shares('title', panels, {'a': blue, 'b': red}, 'accuracy'))
    where = [np.argwhere((image == colour).all(2)).mean(0) for colour in
             ((255, 0, 0), (0, 0, 255))]
    assert where[0][1] < where[1][1]
    assert where[0][0] < where[1][0]


def test_reliability_of_any_model():
    right = np.arange(50) % 3 == 0
    found = reliability(np.linspace(0, 1, 50), right)
    bins = charts.Bins('model', found.count, found.confidence, found.right, found.error)
    assert drawn(charts.reliability_diagrams('t', [[bins, None], [None, bins]], 'x', 'y'))


@pytest.mark.parametrize('values', [
    np.random.default_rng(0).normal(60, 5, 100), np.full(3, 60.0), np.array([np.nan]), np.empty(0),
])
def test_distributions_of_anything(values):
    panels = {'colour': {'a': values, 'b': np.array([50.0, 70.0])}, 'depth': {'b': values}}
    assert drawn(charts.distributions('t', panels, {'a': ACCENT, 'b': '#888888'}, 'degrees', 'x'))


@pytest.mark.parametrize('labels', [2, 100])
def test_maps_of_many_labels(labels):
    rng = np.random.default_rng(0)
    places, classes = rng.normal(size=(200, 2)), rng.integers(0, labels, 200)
    words = rng.normal(scale=0.01, size=(labels, 2)), [f'{EVIL} {i}' for i in range(labels)]
    png = point_map(
        't', {'colour': (places, classes), '_depth': (places + 5, classes)}, words,
        np.bincount(classes, minlength=labels))
    assert drawn(png)


def test_neighbouring_classes_have_colours_apart():
    colours = class_colours(100)
    assert np.linalg.norm(np.diff(colours, axis=0), axis=1).min() > 0.2
    assert len(np.unique(colours.round(3), axis=0)) == 100


def test_verdicts_in_words():
    """By how much, and whether that may be luck."""
    def of(only_first, only_second):
        first = np.array([True] * only_first + [False] * only_second + [True] * 100)
        second = np.array([False] * only_first + [True] * only_second + [True] * 100)
        return verdict('int8', compare_paired(first, second))

    assert of(40, 10) == 'int8 is better, by 20.0 points (p < 0.001)'
    assert of(10, 40) == 'int8 is worse, by 20.0 points (p < 0.001)'
    assert of(6, 5).startswith('0.9 points more, but as far as 111 pairs can tell they are eq')
    assert of(4, 4) == 'equally often right'


def test_new_blocks_escape_their_texts():
    html = ''.join([
        page.heading(EVIL, EVIL), page.contents([(EVIL, EVIL)]), page.notice(EVIL),
        page.hidden(EVIL, [page.paragraph(EVIL)]), page.table([EVIL], [[EVIL]], compact=True),
        page.figure(b'', EVIL, widest=300),
    ])
    assert '<b>' not in html
    assert html.count('&lt;b&gt;') == 10
    assert 'max-width:300px' in html
