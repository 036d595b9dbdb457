# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags are found wherever they lie."""
from pathlib import Path

from edgevl_training.bags import find_bags
from edgevl_training.errors import SourceError
import pytest


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_finds_the_bags_of_a_tree_sorted_and_once(tmp_path: Path):
    touch(
        tmp_path, 'b/metadata.yaml', 'b/b_0.mcap', 'a/day/x_0.db3.zstd', 'old/one.bag',
        'old/two.bag.active', 'old/notes.txt', 'empty/readme.md')
    found = find_bags([tmp_path, tmp_path / 'b', tmp_path / 'old' / 'one.bag', f'{tmp_path}/b/'])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        'a/day', 'b', 'old/one.bag', 'old/two.bag.active']


def test_a_single_file_is_a_bag(tmp_path: Path):
    touch(tmp_path, 'b/b_0.mcap', 'b/b_1.mcap')
    assert find_bags([tmp_path / 'b' / 'b_1.mcap']) == [tmp_path / 'b' / 'b_1.mcap']


@pytest.mark.parametrize('name', ['empty', 'nothing', 'empty/readme.md'])
def test_a_path_without_bags_is_named(tmp_path: Path, name: str):
    touch(tmp_path, 'empty/readme.md', 'b/b_0.mcap')
    with pytest.raises(SourceError, match=f'no bag at .*{name}: expected'):
        find_bags([tmp_path / 'b', tmp_path / name])
