# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Truth files are read strictly, and accuracy is counted over every frame of the truth."""

from pathlib import Path

from demo.accuracy import find_truth, read_truth, score
from demo.errors import DemoError
import pytest

TRUTH = {1: 'kitchen', 2: 'kitchen', 3: 'office', 4: 'kitchen'}


def test_counts_right_wrong_and_missed_frames_per_label():
    result = score(TRUTH, {1: 'kitchen', 2: 'office', 3: 'office', 99: 'kitchen'})
    kitchen, office = result.rows
    assert (kitchen.label, kitchen.frames, kitchen.labelled, kitchen.right) == ('kitchen', 3, 2, 1)
    assert (office.label, office.frames, office.labelled, office.right) == ('office', 1, 1, 1)
    assert kitchen.accuracy == pytest.approx(1 / 3)
    assert (result.total.frames, result.total.labelled, result.total.right) == (4, 3, 2)
    assert result.total.accuracy == 0.5
    assert result.mean_class_accuracy == pytest.approx((1 / 3 + 1) / 2)


def test_without_answers_everything_is_missed():
    assert score(TRUTH, {}).total.labelled == 0
    assert score(TRUTH, {}).mean_class_accuracy == 0


def test_reads_stamps_and_labels(tmp_path: Path):
    path = tmp_path / 'truth.csv'
    path.write_text(
        '\ufeffstamp_ns,label\r\n'
        '1700000000200000001,home_office\r\n'
        '1700000000400000000, kitchen\r\n'
    )
    assert read_truth(path) == {
        1700000000200000001: 'home_office', 1700000000400000000: 'kitchen'
    }


@pytest.mark.parametrize(
    ('content', 'complaint'),
    [
        ('time,label\n1,kitchen\n', 'columns stamp_ns and label, found time, label'),
        ('', 'found nothing'),
        ('stamp_ns,label\n', 'at least one line'),
        ('stamp_ns,label\n1.5,kitchen\n', "line 2: expected stamp_ns as whole .*'1.5'"),
        ('stamp_ns,label\n1,kitchen\n2\n', 'line 3: expected a label'),
        ('stamp_ns,label\n1,kitchen\n1,office\n', "line 3: the stamp 1 was 'kitchen' before"),
    ],
)
def test_says_what_is_wrong_with_a_truth_file(tmp_path: Path, content: str, complaint: str):
    path = tmp_path / 'truth.csv'
    path.write_text(content)
    with pytest.raises(DemoError, match=complaint):
        read_truth(path)


def test_a_missing_truth_file_is_named(tmp_path: Path):
    with pytest.raises(DemoError, match='nowhere.csv'):
        read_truth(tmp_path / 'nowhere.csv')


def test_finds_the_truth_beside_a_bag_or_in_it(tmp_path: Path):
    bag = tmp_path / 'tour'
    bag.mkdir()
    assert find_truth(bag) is None
    inside = bag / 'tour_truth.csv'
    inside.touch()
    assert find_truth(bag) == inside
    beside = tmp_path / 'tour_truth.csv'
    beside.touch()
    assert find_truth(bag) == beside
    file = tmp_path / 'old.bag'
    file.touch()
    (tmp_path / 'old_truth.csv').touch()
    assert find_truth(file) == tmp_path / 'old_truth.csv'
