# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image folders: what belongs together, what a count means, what is lost and why."""

import os
from pathlib import Path
import struct
import zlib

import cv2
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.layouts import open_layout
from edgevl_training.sources.source import EncodedPicture
import numpy as np
import pytest
from support.picture_files import (
    color_pixels,
    loaded,
    pixels_of,
    problem_of,
    read_whole,
    write_picture,
)

DATA = os.environ.get('EDGEVL_TEST_DATA')
needs_data = pytest.mark.skipif(not DATA, reason='EDGEVL_TEST_DATA is not set')


def depth_counts(seed=0):
    """Give 16-bit depth in millimetres."""
    return np.random.default_rng(seed).integers(500, 9000, (6, 8), np.uint16)


def folder_of(root, stems=('a1', 'a2', 'a10'), second='depth'):
    """Write matching pictures, PNG so that every pixel survives."""
    for index, stem in enumerate(stems):
        write_picture(root / 'rgb' / f'{stem}.png', color_pixels(index))
        write_picture(root / second / f'{stem}.png', depth_counts(index))
    return root


def only(path, **options):
    """Open a folder that is one source."""
    source, = open_layout('folder', path, **options)
    return source


def test_pairs_come_in_natural_order_a_second_apart(tmp_path):
    """Frame 2 precedes frame 10, and the two files of a stem are one pair."""
    source = only(folder_of(tmp_path))
    read = read_whole(source)
    assert [pair.color_stamp_ns for pair in read.pairs] == [0, 10 ** 9, 2 * 10 ** 9]
    for index, pair in enumerate(read.pairs):
        np.testing.assert_array_equal(pixels_of(pair.color), color_pixels(index))
        np.testing.assert_array_equal(pixels_of(pair.depth), depth_counts(index))
        assert pair.depth_stamp_ns == pair.color_stamp_ns
        assert pair.frame_id == pair.depth_frame_id != ''
        assert (pair.bag, pair.timeline) == (tmp_path.name, 0)
        assert pair.item == ('rgb/a1.png', 'rgb/a2.png', 'rgb/a10.png')[index]
    assert read.losses == []
    assert read.read_bytes == source.size_bytes == sum(
        path.stat().st_size for path in tmp_path.rglob('*.png')
    )
    assert source.modality == SecondModality('depth', 'm', 0.001, (0, 65535))


def test_files_that_fit_are_kept_byte_for_byte(tmp_path):
    """A JPEG and a 16-bit PNG are not coded anew."""
    color = write_picture(tmp_path / 'images' / '1.jpg', color_pixels())
    depth = write_picture(tmp_path / 'Depth' / '1.png', depth_counts())
    pair, = read_whole(only(tmp_path)).pairs
    assert loaded(pair.color) == EncodedPicture(color.read_bytes(), 'jpeg')
    assert loaded(pair.depth) == EncodedPicture(depth.read_bytes(), 'png')


@pytest.mark.parametrize('suffix', ['.bmp', '.tif', '.webp'])
def test_other_formats_of_colour_are_decoded(tmp_path, suffix):
    """What a shard cannot store becomes pixels, red first."""
    red = np.zeros((6, 8, 3), np.uint8)
    red[..., 0] = 200
    write_picture(tmp_path / 'rgb' / f'1{suffix}', red)
    pair, = read_whole(only(tmp_path)).pairs
    np.testing.assert_allclose(loaded(pair.color).pixels, red, atol=8)


def test_pictures_without_a_second_folder_are_colour_only(tmp_path):
    """Pictures may lie in the folder itself; a given empty name leaves depth out."""
    write_picture(tmp_path / 'one.jpg', color_pixels())
    pair, = read_whole(only(tmp_path)).pairs
    assert pair.depth is pair.depth_stamp_ns is pair.depth_frame_id is None
    folder_of(tmp_path / 'both')
    assert all(p.depth is None for p in read_whole(only(tmp_path / 'both', second_dir='')).pairs)


def test_what_has_no_partner_is_lost_by_name(tmp_path):
    """Unmatched stems, a second file of a stem and linked folders are listed."""
    folder_of(tmp_path, ['both'])
    write_picture(tmp_path / 'rgb' / 'lone.png', color_pixels())
    write_picture(tmp_path / 'depth' / 'deep.png', depth_counts())
    write_picture(tmp_path / 'rgb' / 'both.tif', color_pixels())
    (tmp_path / 'rgb' / 'again').symlink_to(tmp_path / 'depth')
    (tmp_path / 'rgb' / 'notes.txt').write_text('no picture')
    read = read_whole(only(tmp_path))
    assert len(read.pairs) == 1
    assert sorted(read.losses) == [
        ('depth/deep.png', 'no colour picture of the same stem'),
        ('rgb/again', 'a linked folder is not entered'),
        ('rgb/both.tif', 'another file has the same stem'),
        ('rgb/lone.png', 'no depth picture of the same stem'),
    ]


def test_links_are_read_inside_the_folder_only(tmp_path):
    """A link beside the pictures works; one that leads out is no way to other files."""
    root = folder_of(tmp_path / 'set', ['1', '2'])
    outside = write_picture(tmp_path / 'secret.png', color_pixels(9))
    (root / 'rgb' / '2.png').unlink()
    (root / 'rgb' / '2.png').symlink_to(outside)
    write_picture(root / 'store' / 'x.png', color_pixels(5))
    (root / 'rgb' / '1.png').unlink()
    (root / 'rgb' / '1.png').symlink_to('../store/x.png')
    first, second = read_whole(only(root)).pairs
    np.testing.assert_array_equal(pixels_of(first.color), color_pixels(5))
    assert problem_of(second.color) == 'rgb/2.png: a link leads out of the data set'
    (root / 'thermal').symlink_to(tmp_path)
    with pytest.raises(SourceError, match='leads out of it'):
        open_layout('folder', root, second_dir='thermal', second_name='thermal')
    with pytest.raises(SourceError, match='leads out of it'):
        open_layout('folder', root, color_dir='..')


def damaged(root, name, data):
    """Overwrite a file of one good pair and one bad; give the bad pair."""
    (root / name).write_bytes(data)
    return read_whole(only(root)).pairs[1]


def test_unreadable_pictures_say_why_when_loaded(tmp_path):
    """Truncated, empty and foreign files are found before they are decoded."""
    root = folder_of(tmp_path, ['1', '2'])
    depth = (root / 'depth' / '2.png').read_bytes()
    for data, reason in (
        (depth[:-20], 'truncated or damaged picture'),
        (b'', 'no picture, or its header is damaged'),
        (b'GIF89a' + bytes(100), 'no picture, or its header is damaged'),
    ):
        pair = damaged(root, 'depth/2.png', data)
        assert problem_of(pair.depth) == f'depth/2.png: {reason}'
        assert problem_of(damaged(root, 'rgb/2.png', data).color) == f'rgb/2.png: {reason}'


def png_of(width, height):
    """Give a PNG whose header promises any size."""
    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack(
            '>I', zlib.crc32(kind + content))
    header = struct.pack('>IIBBBBB', width, height, 16, 0, 0, 0, 0)
    data = zlib.compress(bytes(10))
    chunks = chunk(b'IHDR', header) + chunk(b'IDAT', data) + chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + chunks


@pytest.mark.parametrize('size', [(20000, 10), (9000, 9000), (12000, 12000), (65000, 65000)])
def test_a_picture_too_large_for_memory_is_refused_by_its_header(tmp_path, size):
    """A hundred bytes cannot ask for gigabytes."""
    root = folder_of(tmp_path, ['1', '2'])
    assert 'pixels a side' in problem_of(damaged(root, 'depth/2.png', png_of(*size)).depth)


def test_equal_channels_are_one_and_colour_is_refused(tmp_path):
    """Infrared stored as grey RGB is read; a colour picture is no infrared."""
    grey = np.repeat(color_pixels(1)[..., :1], 3, axis=2)
    for stem, pixels in (('grey', grey), ('tinted', color_pixels(2))):
        write_picture(tmp_path / 'rgb' / f'{stem}.png', color_pixels())
        write_picture(tmp_path / 'swir' / f'{stem}.png', pixels)
    source = only(tmp_path)
    assert source.modality == SecondModality('swir', 'full scale', 1 / 255, ())
    good, bad = read_whole(source).pairs
    counts = pixels_of(good.depth)
    assert counts.dtype == np.uint16
    np.testing.assert_array_equal(counts, grey[..., 0])
    assert problem_of(bad.depth) == 'swir/tinted.png: expected one channel, found colour'


@pytest.mark.parametrize(('folder', 'name'), [
    ('thermal', 'thermal'), ('NIR', 'nir'), ('ir', 'infrared'), ('infrared', 'infrared'),
])
def test_other_modalities_have_full_scale_by_their_bits(tmp_path, folder, name):
    """A 16-bit camera is white at 65535, and no count of it means nothing."""
    source = only(folder_of(tmp_path, second=folder))
    assert source.modality == SecondModality(name, 'full scale', 1 / 65535, ())


def test_pictures_of_other_bits_than_the_first_are_refused(tmp_path):
    """One scale cannot hold for both."""
    root = folder_of(tmp_path, ['1', '2'], second='thermal')
    write_picture(root / 'thermal' / '2.png', color_pixels()[..., 0])
    pair = read_whole(only(root)).pairs[1]
    assert 'expected 16-bit counts as in the first picture, found 8' in problem_of(pair.depth)


def test_8_bit_depth_needs_its_unit(tmp_path):
    """A guess would be wrong by an unknown factor."""
    write_picture(tmp_path / 'rgb' / '1.png', color_pixels())
    write_picture(tmp_path / 'depth' / '1.png', color_pixels()[..., 0])
    with pytest.raises(SourceError, match='metres per count with --second-scale'):
        open_layout('folder', tmp_path)
    source = only(tmp_path, second_scale=0.04)
    assert source.modality == SecondModality('depth', 'm', 0.04, (0,))


def test_options_say_what_counts_mean(tmp_path):
    """Scale, missing counts, name and folders can all be given."""
    folder_of(tmp_path, second='lwir')
    source = only(tmp_path, color_dir='rgb', second_dir='lwir', second_name='thermal',
                  second_scale=0.5, second_missing=(7,))
    assert source.modality == SecondModality('thermal', 'full scale', 0.5, (7,))
    with pytest.raises(SourceError, match='say it with --second-name'):
        open_layout('folder', tmp_path, second_dir='lwir')


@pytest.mark.parametrize(('options', 'words'), [
    ({'second_scale': 0.0}, 'positive number'),
    ({'second_scale': float('nan')}, 'positive number'),
    ({'second_missing': (70000,)}, 'from 0 to 65535'),
    ({'color_dir': 'nothing'}, 'folder that --color-dir names'),
    ({'second_dir': 'nothing'}, 'folder that --second-dir names'),
    ({'second_dir': '', 'second_scale': 1.0}, 'name it with --second-dir'),
    ({'labels': 'none.csv'}, 'CSV file of labels'),
    ({'labels': '../x.csv'}, 'inside'),
])
def test_wrong_options_name_the_remedy(tmp_path, options, words):
    """Nothing is silently ignored."""
    with pytest.raises(SourceError, match=words):
        open_layout('folder', folder_of(tmp_path), **options)


def test_folders_that_do_not_fit_say_what_was_expected(tmp_path):
    """No colour, two colours, two modalities, or no common stem."""
    with pytest.raises(SourceError, match='called rgb, color.*no folders.*--color-dir'):
        open_layout('folder', tmp_path)
    write_picture(tmp_path / 'rgb' / '1.png', color_pixels())
    write_picture(tmp_path / 'depth' / '2.png', depth_counts())
    with pytest.raises(SourceError, match='1 colour and 1 depth pictures, none of the same stem'):
        open_layout('folder', tmp_path)
    (tmp_path / 'swir').mkdir()
    with pytest.raises(SourceError, match='depth, swir; choose it with --second-dir'):
        open_layout('folder', tmp_path)
    (tmp_path / 'color').mkdir()
    with pytest.raises(SourceError, match='color, rgb; choose it with --color-dir'):
        open_layout('folder', tmp_path)


@pytest.mark.parametrize('column', ['label', 'scene', 'class'])
def test_truth_is_found_by_stem(tmp_path, column):
    """A stem without a label has none."""
    folder_of(tmp_path)
    (tmp_path / 'labels.csv').write_text(f'note,{column},stem\nx,kitchen,a10\ny,,a1\n')
    assert [pair.truth for pair in read_whole(only(tmp_path)).pairs] == [None, None, 'kitchen']


def test_a_csv_of_other_columns_is_not_guessed_at(tmp_path):
    """The message lists what was expected and found."""
    folder_of(tmp_path)
    (tmp_path / 'labels.csv').write_text('file,room\n1,2\n')
    with pytest.raises(SourceError, match='columns stem and one of label.*found file, room'):
        open_layout('folder', tmp_path)


def test_folders_below_are_bags(tmp_path):
    """A recording in a folder of its own can be split off whole, and names may repeat."""
    folder_of(tmp_path, ['hall/1', 'hall/2', 'yard/1'])
    pairs = read_whole(only(tmp_path, name='both')).pairs
    assert [pair.bag for pair in pairs] == ['both/hall', 'both/hall', 'both/yard']
    assert len({pair.color_stamp_ns for pair in pairs}) == 3


def test_the_fingerprint_is_of_names_and_sizes(tmp_path):
    """A copy has the same; a renamed or longer file another."""
    first = only(folder_of(tmp_path / 'a')).fingerprint()
    assert only(folder_of(tmp_path / 'b')).fingerprint() == first
    with (tmp_path / 'b' / 'rgb' / 'a1.png').open('ab') as stream:
        stream.write(b'\0')
    assert only(tmp_path / 'b').fingerprint() != first
    for part in ('rgb', 'depth'):
        (tmp_path / 'a' / part / 'a2.png').rename(tmp_path / 'a' / part / 'a3.png')
    assert only(tmp_path / 'a').fingerprint() != first


@needs_data
def test_nyu_pictures_are_depth_in_metres_once_their_scale_is_named():
    """All 795 pairs are read with their scene; depth is that of rooms."""
    root = Path(DATA) / 'nyuv2_train'
    with pytest.raises(SourceError, match='8-bit'):
        open_layout('folder', root)
    source = only(root, second_scale=1 / 25.5)
    read = read_whole(source)
    assert (len(read.pairs), read.losses) == (795, [])
    assert read.read_bytes == source.size_bytes
    assert len({pair.truth for pair in read.pairs}) == 27
    assert read.pairs[0].truth == 'office'
    for pair in read.pairs[::100]:
        counts = pixels_of(pair.depth)
        assert counts.dtype == np.uint16 and counts.max() <= 255
        assert 0.5 < np.median(counts[counts > 0]) * source.modality.scale < 10
    stored = cv2.imread(str(root / 'depth' / '0002.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(pixels_of(read.pairs[0].depth), stored)


@needs_data
def test_satellite_tiles_are_pairs_of_colour_and_short_wave_infrared():
    """All 100 tiles are read with their class."""
    source = only(Path(DATA) / 'eurosat_sample')
    assert source.modality == SecondModality('swir', 'full scale', 1 / 255, ())
    read = read_whole(source)
    assert (len(read.pairs), read.losses) == (100, [])
    assert len({pair.truth for pair in read.pairs}) == 10
    assert all(pixels_of(pair.depth).shape == (64, 64) for pair in read.pairs)
