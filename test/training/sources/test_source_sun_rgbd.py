# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SUN RGB-D, on a few folders laid out as its archive is."""

from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.layouts import open_layout
import numpy as np
import pytest
from support.picture_files import color_pixels, pixels_of, problem_of, read_whole, write_picture


def millimetres(seed=0):
    """Give depth up to the largest number of 16 bits."""
    return np.random.default_rng(seed).integers(0, 65536, (6, 8), np.uint16)


def rotated_left(counts):
    """Do what the data set does to its depth, one number at a time."""
    return np.array(
        [[int(f'{value:016b}'[3:] + f'{value:016b}'[:3], 2) for value in row] for row in counts],
        np.uint16,
    )


def write_sequence(folder, seed=0, scene='bedroom'):
    """Write a sequence: names of colour and depth need not agree."""
    write_picture(folder / 'image' / f'{seed:06d}.jpg', color_pixels(seed))
    write_picture(folder / 'depth' / f'{seed:06d}_depth.png', rotated_left(millimetres(seed)))
    write_picture(folder / 'depth_bfx' / f'{seed}.png', rotated_left(millimetres(seed + 100)))
    (folder / 'scene.txt').write_text(f'{scene}\n')
    return folder


@pytest.fixture
def archive(tmp_path):
    """Give the data set with two sensors, one of them with sequences further down."""
    root = tmp_path / 'SUNRGBD'
    for number, scene in ((2, 'office'), (10, 'kitchen'), (1, 'bedroom')):
        write_sequence(root / 'kv1' / 'NYUdata' / f'NYU{number}', number, scene)
    hall = root / 'xtion' / 'sun3ddata' / 'brown_bm_1' / 'hall'
    write_sequence(hall / '0001-000', 20, 'corridor')
    return root


def test_depth_is_turned_back_to_millimetres(archive):
    """Every bit finds its place, as bitor(bitshift(d, -3), bitshift(d, 13)) puts it."""
    assert rotated_left(np.array([[1, 0x2000, 0x8001]], np.uint16)).tolist() == [[8, 1, 12]]
    source = open_layout('sunrgbd', archive)[0]
    assert source.modality == SecondModality()
    for pair, seed in zip(read_whole(source).pairs, (1, 2, 10)):
        counts = pixels_of(pair.depth)
        assert counts.dtype == np.uint16
        np.testing.assert_array_equal(counts, millimetres(seed))


def test_each_folder_of_sequences_is_a_source_in_natural_order(archive):
    """Places stay together; what is left of a name is its order."""
    sources = open_layout('sunrgbd', archive)
    assert [source.name for source in sources] == [
        'SUNRGBD/kv1/NYUdata', 'SUNRGBD/xtion/sun3ddata/brown_bm_1/hall',
    ]
    read = read_whole(sources[0])
    assert [pair.truth for pair in read.pairs] == ['bedroom', 'office', 'kitchen']
    assert [pair.color_stamp_ns for pair in read.pairs] == [0, 10 ** 9, 2 * 10 ** 9]
    assert {pair.bag for pair in read.pairs} == {'SUNRGBD/kv1/NYUdata'}
    assert read.losses == []
    assert read.read_bytes == sources[0].size_bytes
    assert sources[0].fingerprint() != sources[1].fingerprint()
    part, = open_layout('sunrgbd', archive / 'kv1' / 'NYUdata', name='nyu')
    assert part.name == 'nyu' and len(read_whole(part).pairs) == 3


def test_depth_with_closed_holes_can_be_had(archive):
    """It lies in another folder."""
    source = open_layout('sunrgbd', archive, depth_kind='filled')[0]
    np.testing.assert_array_equal(
        pixels_of(read_whole(source).pairs[0].depth), millimetres(101)
    )


def test_incomplete_sequences_are_lost_and_others_read(archive):
    """A missing, second or 8-bit picture is that sequence's loss."""
    nyu = archive / 'kv1' / 'NYUdata'
    (nyu / 'NYU1' / 'depth' / '000001_depth.png').unlink()
    write_picture(nyu / 'NYU2' / 'image' / 'more.jpg', color_pixels())
    write_picture(nyu / 'NYU10' / 'depth' / '000010_depth.png', color_pixels()[..., 0])
    (nyu / 'NYU11').symlink_to(nyu / 'NYU10')
    read = read_whole(open_layout('sunrgbd', archive)[0])
    assert read.losses == [
        ('kv1/NYUdata/NYU11', 'a linked folder is not entered'),
        ('kv1/NYUdata/NYU1', 'expected one picture each in image and depth'),
        ('kv1/NYUdata/NYU2', 'expected one picture each in image and depth'),
    ]
    pair, = read.pairs
    assert problem_of(pair.depth) == (
        'kv1/NYUdata/NYU10/depth/000010_depth.png: expected 16-bit depth'
    )


def test_a_scene_file_that_leads_out_is_not_read(archive, tmp_path):
    """Nor is a missing one made up."""
    nyu = archive / 'kv1' / 'NYUdata'
    (tmp_path / 'secret').write_text('secret')
    (nyu / 'NYU1' / 'scene.txt').unlink()
    (nyu / 'NYU1' / 'scene.txt').symlink_to(tmp_path / 'secret')
    (nyu / 'NYU2' / 'scene.txt').unlink()
    read = read_whole(open_layout('sunrgbd', archive)[0])
    assert [pair.truth for pair in read.pairs] == [None, None, 'kitchen']


def test_another_folder_says_what_was_expected(tmp_path):
    """The message shows the structure."""
    with pytest.raises(SourceError, match='<sequence>/image.*found no folder called image'):
        open_layout('sunrgbd', tmp_path)
