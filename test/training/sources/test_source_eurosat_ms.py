# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""EuroSAT with all bands, on small tiles of the same structure."""

from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.layouts import open_layout
import numpy as np
import pytest
from support.picture_files import pixels_of, read_whole

tifffile = pytest.importorskip('tifffile', reason='the training extra is not installed')

# Sentinel-2's numbers of the bands, in the order of the published files.
ORDER = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12', '8A']


def tile(size=(4, 5)):
    """Give a tile whose counts tell the band: 200 for B2, 1200 for B12, 8 for B8A."""
    counts = [8 if band == '8A' else 100 * int(band) for band in ORDER]
    return np.broadcast_to(np.array(counts, np.uint16), (*size, 13)).copy()


def write_tile(root, scene, number, pixels=None, **options):
    """Write one tile where EuroSAT has it, pixel by pixel as in the published files."""
    path = root / scene / f'{scene}_{number}.tif'
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {'planarconfig': 'contig', 'photometric': 'minisblack', **options}
    tifffile.imwrite(path, tile() if pixels is None else pixels, **options)
    return path


def test_colour_and_infrared_are_the_right_bands(tmp_path):
    """Red, green and blue are B4, B3, B2, stretched to 2750; infrared is B12, unchanged."""
    pixels = tile()
    pixels[0, 0] = 0
    pixels[0, 1] = 2750
    pixels[0, 2] = 20000
    write_tile(tmp_path, 'River', 1, pixels)
    source, = open_layout('eurosat-ms', tmp_path)
    assert source.modality == SecondModality('swir', 'full scale', 1 / 2750, ())
    pair, = read_whole(source).pairs
    color, swir = pixels_of(pair.color), pixels_of(pair.depth)
    assert color.dtype == np.uint8 and swir.dtype == np.uint16
    # 1 + 400 * 254 / 2750 = 37.9, 1 + 300 * 254 / 2750 = 28.7, 1 + 200 * 254 / 2750 = 19.5
    assert color[2, 2].tolist() == [38, 29, 19]
    assert [color[0, i].tolist() for i in range(3)] == [[1] * 3, [255] * 3, [255] * 3]
    assert swir[2, 2] == 1200 and swir[0, 2] == 20000
    assert swir[0, 1] * source.modality.scale == pytest.approx(1.0)


def test_tiles_come_by_number_so_that_classes_mix(tmp_path):
    """A block of neighbours holds every class, and a class is no bag."""
    root = tmp_path / 'EuroSAT_MS'
    for scene in ('Forest', 'River'):
        for number in (10, 9, 1):
            write_tile(root / 'tif', scene, number)
    source, = open_layout('eurosat-ms', root)
    read = read_whole(source)
    assert [pair.truth for pair in read.pairs] == ['Forest', 'River'] * 3
    assert [pair.color_stamp_ns for pair in read.pairs] == [n * 10 ** 9 for n in range(6)]
    assert {pair.bag for pair in read.pairs} == {'EuroSAT_MS'}
    assert read.losses == [] and read.read_bytes == source.size_bytes
    again, = open_layout('eurosat-ms', root, name='tiles')
    assert again.name == 'tiles' and again.fingerprint() == source.fingerprint()


def test_bands_may_lie_in_planes(tmp_path):
    """The header says how they lie."""
    write_tile(tmp_path, 'River', 1, np.moveaxis(tile(), -1, 0), planarconfig='separate')
    source, = open_layout('eurosat-ms', tmp_path)
    pair, = read_whole(source).pairs
    assert pixels_of(pair.depth).shape == (4, 5) and pixels_of(pair.depth)[0, 0] == 1200


def test_unusable_tiles_are_lost_by_reason(tmp_path):
    """Other names, bands, types, sizes and damage cost one tile each."""
    write_tile(tmp_path, 'River', 1)
    write_tile(tmp_path, 'River', 2, tile()[..., :3], photometric='rgb')
    write_tile(tmp_path, 'River', 3, tile().astype(np.uint8))
    broken = write_tile(tmp_path, 'River', 4)
    broken.write_bytes(broken.read_bytes()[:100])
    (tmp_path / 'River' / 'River_5.tif').write_bytes(b'no TIFF at all')
    tifffile.imwrite(tmp_path / 'River' / 'Lake_6.tif', tile(), photometric='minisblack')
    (tmp_path / 'River' / 'River_7.tif').symlink_to('/etc/passwd')
    (tmp_path / 'River' / 'River_8.tif').symlink_to('River_1.tif')
    source, = open_layout('eurosat-ms', tmp_path)
    read = read_whole(source)
    assert len(read.pairs) == 2, 'the first and the link to it'
    assert dict(read.losses) == {
        'River/Lake_6.tif': 'not named as expected: <Class>/<Class>_<number>.tif, for example '
                            'River/River_1.tif',
        'River/River_2.tif': 'expected 13 bands of 16 bits',
        'River/River_3.tif': 'expected 13 bands of 16 bits',
        'River/River_4.tif': 'no TIFF, or a damaged one',
        'River/River_5.tif': 'no TIFF, or a damaged one',
        'River/River_7.tif': 'a link leads out of the data set',
    }


def test_a_tile_beyond_memory_is_refused_by_its_header(tmp_path):
    """A compressed file of some kilobytes may hold gigabytes of zeros."""
    path = write_tile(tmp_path, 'River', 1, np.zeros((2300, 2300, 13), np.uint16),
                      compression='zlib')
    assert path.stat().st_size < 2_000_000
    source, = open_layout('eurosat-ms', tmp_path)
    assert read_whole(source).losses == [('River/River_1.tif', f'more than {1 << 22} pixels')]


def test_another_folder_says_what_was_expected(tmp_path):
    """The colour-only archive has no infrared."""
    with pytest.raises(SourceError, match='River_1.tif.*EuroSAT_MS.zip'):
        open_layout('eurosat-ms', tmp_path)
