# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Confidence, margin and pseudo-label as the paper defines them; the supersets they are over."""

from edgevl_ros.core.vocabulary import canonical_phrase, check_labels
from edgevl_training.curation.confidence import judge
from edgevl_training.curation.superset import read_superset, SHIPPED
from edgevl_training.errors import RecipeError
from hypothesis import given, settings, strategies as st
import numpy as np
import pytest


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length one."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 100), st.integers(2, 40))
def test_judging_is_a_softmax(seed, scale, labels):
    """The same numbers as the formula in double precision."""
    random = np.random.default_rng(seed)
    pictures = unit(random.normal(size=(17, 8)))
    words = unit(random.normal(size=(labels, 8)))
    judged = judge(pictures, words, scale)
    powers = np.exp(scale * (pictures.astype(np.float64) @ words.T.astype(np.float64)))
    expected = powers / powers.sum(1, keepdims=True)
    ranked = np.sort(expected, axis=1)
    assert judged.confidence == pytest.approx(ranked[:, -1], abs=2e-5)
    assert judged.margin == pytest.approx(ranked[:, -1] - ranked[:, -2], abs=2e-5)
    sure = ranked[:, -1] - ranked[:, -2] > 1e-4
    assert np.array_equal(judged.label[sure], expected.argmax(1)[sure])
    assert judged.confidence.dtype == judged.margin.dtype == np.float32


def test_a_large_scale_does_not_overflow():
    """A scale like that of CLIP, and larger."""
    words = np.eye(3, dtype=np.float32)
    judged = judge(words, words, 1000.0)
    assert judged.confidence.tolist() == [1, 1, 1]
    assert judged.margin.tolist() == [1, 1, 1]
    assert judged.label.tolist() == [0, 1, 2]


def test_the_shipped_supersets_are_large_and_clean():
    """At least 150 phrases, plain, and none twice within or between the lists."""
    lists = {name: read_superset([name]) for name in SHIPPED}
    assert [len(lists[name]) >= least for name, least in zip(SHIPPED, (100, 60, 40))] == [True] * 3
    everything = [phrase for phrases in lists.values() for phrase in phrases]
    assert len(everything) == len(set(everything)) >= 150
    check_labels(everything)
    assert all(phrase == canonical_phrase(phrase) for phrase in everything)
    assert read_superset(SHIPPED) == tuple(everything)


def test_a_users_list_is_read_as_a_person_writes(tmp_path):
    """Capitals, hyphens, blank lines and comments; phrases shared with another list count once."""
    path = tmp_path / 'mine.txt'
    path.write_text('# rooms\n\nLiving-Room\nbattery charging bay\n', encoding='utf-8')
    assert read_superset([str(path)]) == ('living room', 'battery charging bay')
    both = read_superset(['indoor', str(path)])
    assert both.count('living room') == 1
    assert both[-1] == 'battery charging bay'


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    """Two files with four faults make four lines."""
    first, second = tmp_path / 'first.txt', tmp_path / 'second.txt'
    first.write_text('kitchen\n---\nKitchen\n' + 'x' * 101 + '\n', encoding='utf-8')
    second.write_text('# nothing here\n', encoding='utf-8')
    with pytest.raises(RecipeError) as caught:
        read_superset([str(first), str(second), 'indors'])
    message = str(caught.value)
    for part in (
        'first.txt, line 2', "line 3: 'kitchen' stands in line 1", 'line 4', 'second.txt',
        'indors: expected indoor, outdoor, satellite or a text file',
    ):
        assert part in message
    assert 'line 1:' not in message


@pytest.mark.parametrize(('content', 'expected'), [
    (b'kitchen\n', 'expected 2 to 1000 phrases'),
    (b'\xff\xfe\x00', 'UTF-8'),
    (b'#' * 1_000_001, 'at most 1 MB'),
    ('\n'.join(f'room {i}' for i in range(1001)).encode(), 'found 1001'),
])
def test_unusable_lists_are_refused(tmp_path, content, expected):
    """One phrase alone is always certain; others are too large or no text."""
    path = tmp_path / 'mine.txt'
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=expected):
        read_superset([str(path)])
