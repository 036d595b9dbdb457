# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags are found wherever they lie."""
import os
from pathlib import Path

from edgevl_training.bags import find_bags, open_bag
from edgevl_training.errors import SourceError
import pytest
from support.made_bags import expected, frames, read, write_mcap, write_ros1, write_ros2


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


def found_in(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_bags([root])]


def test_a_loose_file_hides_nothing_below_it(tmp_path: Path):
    touch(tmp_path, 'loose.mcap', 'old.bag', 'day/b/metadata.yaml', 'day/b/b.mcap', 'day/c.db3',
          'day/d.bag.zstd', 'day/e.mcap.zstd')
    assert found_in(tmp_path) == [
        'day/b', 'day/c.db3', 'day/d.bag.zstd', 'day/e.mcap.zstd', 'loose.mcap', 'old.bag']


def test_a_folder_inside_a_bag_is_searched_too(tmp_path: Path):
    touch(tmp_path, 'b/metadata.yaml', 'b/b_0.mcap', 'b/more/metadata.yaml', 'b/more/x.mcap')
    assert found_in(tmp_path) == ['b', 'b/more']


def test_the_parts_of_a_recording_are_one_bag_and_others_are_their_own(tmp_path: Path):
    touch(tmp_path, 'drive_0.mcap', 'drive_1.mcap', 'drive_10.mcap.zstd', 'walk_0.db3', 'rgb.mcap',
          # Dates, another format, and a path that is taken.
          'day_01.mcap', 'day_02.mcap', 'at_12_30_15.mcap', 'at_12_30_40.mcap',
          'both_0.mcap', 'both_0.db3', 'taken_0.mcap', 'taken_1.mcap', 'taken/metadata.yaml')
    assert found_in(tmp_path) == [
        'at_12_30_15.mcap', 'at_12_30_40.mcap', 'both_0.db3', 'both_0.mcap', 'day_01.mcap',
        'day_02.mcap', 'drive', 'rgb.mcap', 'taken', 'taken_0.mcap', 'taken_1.mcap', 'walk_0.db3']


def test_a_folder_of_nothing_but_one_recording_goes_by_its_name(tmp_path: Path):
    touch(tmp_path, 'a/drive_0.mcap', 'a/drive_1.mcap', 'b/x_0.db3', 'c/named.mcap')
    assert found_in(tmp_path) == ['a', 'b', 'c/named.mcap']


def test_the_parts_of_a_recording_are_read_under_one_name(tmp_path: Path):
    made = frames(range(12))
    for number in range(3):
        write_mcap(tmp_path / f'drive_{number}.mcap', made[number * 12:(number + 1) * 12])
    write_mcap(tmp_path / 'other.mcap', frames(range(5)))
    assert found_in(tmp_path) == ['drive', 'other.mcap']
    bag = open_bag(tmp_path / 'drive')
    assert bag.name == 'drive'
    assert read(bag) == expected(made)
    assert bag.losses == []
    assert find_bags([tmp_path / 'drive']) == [tmp_path / 'drive']


def test_recordings_beside_each_other_are_never_merged(tmp_path: Path):
    write_mcap(tmp_path / 'a.mcap', frames(range(4)))
    write_mcap(tmp_path / 'b.mcap', frames(range(2, 6)))
    assert [len(read(open_bag(path))) for path in find_bags([tmp_path])] == [8, 8]
    with pytest.raises(SourceError, match=r'found 2 \(a.mcap, b.mcap\); name one of them'):
        open_bag(tmp_path)


def test_what_cannot_be_read_is_among_those_found_and_says_why_when_it_is_opened(tmp_path: Path):
    write_ros2(tmp_path / 'drive', frames(range(2)))
    write_ros1(tmp_path / 'old.bag', frames(range(2), ros1=True))
    touch(tmp_path, 'empty.mcap', 'junk.db3', 'junk.bag')
    (tmp_path / 'junk.db3').write_bytes(b'no bag' * 1000)
    (tmp_path / 'gone.mcap').symlink_to(tmp_path / 'nowhere.mcap')
    refused = {}
    for path in find_bags([tmp_path]):
        try:
            open_bag(path)
        except SourceError as error:
            refused[path.name] = str(error)
    assert sorted(refused) == ['empty.mcap', 'gone.mcap', 'junk.bag', 'junk.db3']
    assert all(str(tmp_path / name) in reason for name, reason in refused.items())


def test_a_folder_that_cannot_be_listed_is_among_those_found(tmp_path: Path, monkeypatch):
    touch(tmp_path, 'a/metadata.yaml', 'b/metadata.yaml')
    listed = os.scandir

    def scandir(path):
        if Path(path).name == 'b':
            raise PermissionError(13, 'Permission denied', str(path))
        return listed(path)

    monkeypatch.setattr(os, 'scandir', scandir)
    assert found_in(tmp_path) == ['a', 'b']
