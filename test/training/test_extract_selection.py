# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Selection by rate, sharpness, repetition and coverage; its state survives JSON."""
from __future__ import annotations

import json

from edgevl_training.extraction.recipe import ExtractRecipe
from edgevl_training.extraction.selection import Selection
from edgevl_training.extraction.tally import Tally
from edgevl_training.pictures import ColorPicture, DepthPicture
from edgevl_training.sources.source import EncodedPicture, SourcePair
from hypothesis import given, strategies
import pytest

SECOND_NS = 1_000_000_000


def recipe(**options) -> ExtractRecipe:
    """Make a recipe of which only the selection matters."""
    return ExtractRecipe(out='.', bags=('.',), **options)


def pair(seconds: float, timeline: int = 0, bag: str = 'a') -> SourcePair:
    """Make a pair of some moment."""
    return SourcePair(bag, timeline, round(seconds * SECOND_NS), EncodedPicture(b'', 'jpeg'), '')


def color(perceptual_hash: int = 0, sharpness: float = 100.0) -> ColorPicture:
    """Make a picture that was measured."""
    return ColorPicture(b'', 'jpeg', 4, 4, sharpness, perceptual_hash)


def kept(selection: Selection, moments, **where) -> list[float]:
    """Give the moments that pass by time, keeping each."""
    passed = []
    for seconds in moments:
        if selection.by_time(pair(seconds, **where)) is None:
            selection.keep(pair(seconds, **where), color())
            passed.append(seconds)
    return passed


def test_rate_is_met_though_no_frame_fits_it():
    passed = kept(Selection(recipe(rate=2.0)), [n / 5 for n in range(100)])
    assert len(passed) == 40
    assert passed[:4] == [0.0, 0.6, 1.0, 1.6]


def test_rate_of_the_camera_itself_keeps_all_in_spite_of_jitter():
    moments = [n / 30 + (0.002 if n % 2 else 0.0) for n in range(90)]
    assert kept(Selection(recipe(rate=30.0)), moments) == moments


def test_rate_starts_anew_after_a_pause_a_jump_and_in_another_bag():
    selection = Selection(recipe(rate=1.0))
    assert kept(selection, [0.0, 0.5, 10.0, 10.5, 11.0]) == [0.0, 10.0, 11.0]
    assert kept(selection, [0.2, 0.5], timeline=1) == [0.2]
    assert kept(selection, [0.3], timeline=1, bag='b') == [0.3]


@given(
    rate=strategies.floats(0.1, 50),
    steps=strategies.lists(strategies.floats(0.001, 2), min_size=1, max_size=60),
)
def test_rate_is_never_exceeded(rate, steps):
    moments = [sum(steps[:n]) for n in range(len(steps))]
    passed = kept(Selection(recipe(rate=rate)), moments)
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            seconds = passed[last] - passed[first]
            assert last - first <= seconds * rate + 1 + 1e-6


def test_blurred_and_repeated_pictures_are_left_out():
    selection = Selection(recipe(min_sharpness=50, near_duplicates=3))
    assert selection.by_color(pair(0), color(sharpness=49)).reason == 'blurred'
    assert selection.by_color(pair(0), color(0b0)) is None
    selection.keep(pair(0), color(0b0))
    assert selection.by_color(pair(1), color(0b111)).reason == 'near-duplicate'
    assert selection.by_color(pair(1), color(0b1111)) is None
    assert selection.by_color(pair(1, timeline=1), color(0b111)) is None
    assert selection.by_color(pair(1, bag='b'), color(0b111)) is None


def test_repetition_is_measured_against_the_last_pair_that_was_kept():
    selection = Selection(recipe(near_duplicates=1))
    selection.keep(pair(0), color(0b0))
    assert selection.by_color(pair(1), color(0b1))
    assert selection.by_color(pair(2), color(0b11)) is None


def test_coverage():
    selection = Selection(recipe(min_depth_coverage=0.5))
    assert selection.by_depth(DepthPicture(b'', 1, 1, 0.5)) is None
    assert selection.by_depth(DepthPicture(b'', 1, 1, 0.49)).reason == 'too little depth'


def test_a_selection_goes_on_from_its_state():
    options = recipe(rate=3.0, near_duplicates=0)
    one, moments = Selection(options), [n / 7 for n in range(50)]
    passed = kept(one, moments[:25])
    other = Selection(options, json.loads(json.dumps(one.state)))
    assert passed + kept(other, moments[25:]) == kept(Selection(options), moments)


def test_tallies_add_up_and_give_quantiles():
    one, other = Tally(), Tally()
    for skew_ms in range(1, 100):
        one.count_pair(skew_ms * 1_000_000, 0.25)
    other.count_pair(-100_000_000, 1.0)
    other.count_skipped('blurred')
    other.count_skipped('blurred')
    summary = (one + Tally(**json.loads(json.dumps(other.as_json())))).summary()
    assert summary['pairs'] == 100
    assert summary['skipped'] == {'blurred': 2}
    assert summary['skew_ms'] == {'median': 50.0, 'p95': 95.0}
    assert summary['depth_coverage'] == {'median': 0.25, 'p5': 0.25}
    assert Tally().summary()['skew_ms'] is None


def test_reasons_without_end_are_counted_together():
    tally = Tally()
    for number in range(1000):
        tally.count_skipped(f'reason {number}')
    assert len(tally.skipped) <= 101
    assert sum(tally.skipped.values()) == 1000


@pytest.mark.parametrize(('options', 'depends'), [
    ({}, False), ({'min_sharpness': 1.0}, False), ({'rate': 1.0}, True),
    ({'near_duplicates': 0}, True),
])
def test_only_rate_and_repetition_need_the_order_of_pairs(options, depends):
    assert Selection(recipe(**options)).depends_on_last is depends
