# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ScanNet: exported frames, and recorded streams written here by the published layout."""

import struct
import tracemalloc
import zlib

import cv2
from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.layouts import open_layout
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

SECOND_NS = 10 ** 9


def depth_counts(seed=0):
    """Give 16-bit depth, smaller than colour as in ScanNet."""
    return np.random.default_rng(seed).integers(0, 60000, (4, 5), np.uint16)


def jpeg(seed=0):
    """Give a JPEG file."""
    return cv2.imencode('.jpg', color_pixels(seed))[1].tobytes()


def sens_header(frames, version=4, name=b'StructureSensor', color=2, depth=1, size=(5, 4),
                counts_per_metre=1000.0):
    """Write the header of a stream, field by field."""
    return b''.join([
        struct.pack('<I', version), struct.pack('<Q', len(name)), name,
        *(np.eye(4, dtype='<f4').tobytes() for _ in range(4)),
        struct.pack('<i', color), struct.pack('<i', depth), struct.pack('<II', 8, 6),
        struct.pack('<II', *size), struct.pack('<f', counts_per_metre), struct.pack('<Q', frames),
    ])


def sens_frame(color, depth, color_us=0, depth_us=0):
    """Write one frame: pose, stamps, sizes, data."""
    return (np.eye(4, dtype='<f4').tobytes()
            + struct.pack('<QQQQ', color_us, depth_us, len(color), len(depth)) + color + depth)


def frame(seed, **stamps):
    """Write a frame of seeded pictures."""
    return sens_frame(jpeg(seed), zlib.compress(depth_counts(seed).tobytes()), **stamps)


def write_sens(root, frames, scene='scene0000_00', **header):
    """Write a stream where ScanNet has it."""
    folder = root / scene
    folder.mkdir(parents=True, exist_ok=True)
    content = sens_header(header.pop('count', len(frames)), **header) + b''.join(frames)
    (folder / f'{scene}.sens').write_bytes(content)
    return folder / f'{scene}.sens'


def export_scene(folder, stems=('0', '2', '10')):
    """Write frames as SensReader exports them."""
    for index, stem in enumerate(stems):
        write_picture(folder / 'color' / f'{stem}.jpg', color_pixels(index))
        write_picture(folder / 'depth' / f'{stem}.png', depth_counts(index))


def test_exported_frames_are_timed_by_their_number(tmp_path):
    """At 30 frames a second; colour and depth files stay as they are."""
    scene = tmp_path / 'scans' / 'scene0007_01'
    export_scene(scene)
    (scene / 'scene0007_01.txt').write_text(
        'axisAlignment = 1 0\nnumDepthFrames = 3\nsceneType = Bedroom / Hotel\n')
    source, = open_layout('scannet', tmp_path)
    assert (source.name, source.modality) == ('scene0007_01', SecondModality())
    read = read_whole(source)
    assert [pair.color_stamp_ns for pair in read.pairs] == [
        0, 2 * SECOND_NS // 30, 10 * SECOND_NS // 30]
    assert {(pair.bag, pair.timeline, pair.truth) for pair in read.pairs} == {
        ('scene0007', 1, 'Bedroom / Hotel')
    }
    for index, (pair, stem) in enumerate(zip(read.pairs, ('0', '2', '10'))):
        assert loaded(pair.color).data == (scene / 'color' / f'{stem}.jpg').read_bytes()
        np.testing.assert_array_equal(pixels_of(pair.depth), depth_counts(index))


def test_the_25k_frames_and_scenes_of_one_space(tmp_path):
    """Each scan is a source; both scans of a space are one bag on two timelines."""
    root = tmp_path / 'scannet_frames_25k'
    export_scene(root / 'scene0001_00', ['000000', '000100'])
    export_scene(root / 'scene0001_01', ['000000', '000100'])
    export_scene(root / 'scene0000_00', ['000000'])
    (root / 'scene0000_00' / 'depth' / '000300.png').write_bytes(b'')
    sources = open_layout('scannet', root)
    assert [source.name for source in sources] == ['scene0000_00', 'scene0001_00', 'scene0001_01']
    reads = [read_whole(source) for source in sources]
    assert reads[0].losses == [
        ('scene0000_00/depth/000300.png', 'no colour picture of the same stem')]
    ids = [(p.bag, p.timeline, p.color_stamp_ns) for read in reads for p in read.pairs]
    assert len(set(ids)) == len(ids) == 5
    assert {bag for bag, _, _ in ids} == {'scene0000', 'scene0001'}
    with pytest.raises(SourceError, match='each scene once'):
        export_scene(tmp_path / 'scans' / 'scene0001_00')
        open_layout('scannet', tmp_path)


def test_a_stream_gives_its_pictures_units_and_stamps(tmp_path):
    """JPEG stays as it is, depth is inflated, microseconds become nanoseconds."""
    path = write_sens(tmp_path, [
        frame(0, color_us=1_000_000, depth_us=1_004_000), frame(1, color_us=1_033_000),
    ], counts_per_metre=4000.0)
    (path.parent / 'scene0000_00.txt').write_text('sceneType = Kitchen\n')
    for source in (*open_layout('scannet', tmp_path), *open_layout('scannet', path)):
        assert source.name == 'scene0000_00'
        assert source.modality == SecondModality(scale=1 / 4000)
        read = read_whole(source)
        assert read.losses == [] and read.read_bytes == source.size_bytes
        assert [pair.color_stamp_ns for pair in read.pairs] == [1_000_000_000, 1_033_000_000]
        assert [pair.depth_stamp_ns for pair in read.pairs] == [1_004_000_000, 1_033_000_000]
        assert {(pair.bag, pair.truth) for pair in read.pairs} == {('scene0000', 'Kitchen')}
        for seed, pair in enumerate(read.pairs):
            assert loaded(pair.color).data == jpeg(seed)
            counts = pixels_of(pair.depth)
            assert counts.dtype == np.uint16
            np.testing.assert_array_equal(counts, depth_counts(seed))


def test_stamps_that_do_not_rise_are_counted_at_the_sensor_rate(tmp_path):
    """Missing, repeated and absurd stamps do not make two pairs of one moment."""
    path = write_sens(tmp_path, [frame(0), frame(1), frame(2, color_us=2 ** 64 - 1),
                                 frame(3, color_us=500_000, depth_us=2 ** 63), frame(4)])
    source, = open_layout('scannet', path)
    step = SECOND_NS // 30
    assert [pair.color_stamp_ns for pair in read_whole(source).pairs] == [
        0, step, 2 * step, 500_000_000, 500_000_000 + step]


def test_raw_depth_and_png_colour_are_read_too(tmp_path):
    """The other kinds that the format names, but for one."""
    png = cv2.imencode('.png', color_pixels()[..., ::-1])[1].tobytes()
    path = write_sens(tmp_path, [sens_frame(png, depth_counts().tobytes())], color=1, depth=0)
    source, = open_layout('scannet', path)
    pair, = read_whole(source).pairs
    assert loaded(pair.color).format == 'png'
    np.testing.assert_array_equal(pixels_of(pair.color), color_pixels())
    np.testing.assert_array_equal(pixels_of(pair.depth), depth_counts())


@pytest.mark.parametrize(('depth', 'reason'), [
    (b'no zlib', 'damaged depth'),
    (zlib.compress(bytes(10)), 'depth of another size than the header says'),
    (zlib.compress(bytes(50_000_000)), 'depth of another size than the header says'),
])
def test_damaged_depth_costs_its_frame_only(tmp_path, depth, reason):
    """Neither too little data nor a decompression bomb is unpacked whole."""
    path = write_sens(tmp_path, [sens_frame(jpeg(), depth), frame(1)])
    source, = open_layout('scannet', path)
    bad, good = read_whole(source).pairs
    tracemalloc.start()
    assert problem_of(bad.depth) == reason
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 5_000_000
    np.testing.assert_array_equal(pixels_of(good.depth), depth_counts(1))


@pytest.mark.parametrize('cut', [1, 200, 40])
def test_a_truncated_stream_gives_what_came_before(tmp_path, cut):
    """Every frame after is listed; progress still reaches the end."""
    path = write_sens(tmp_path, [frame(0), frame(1)], count=4)
    path.write_bytes(path.read_bytes()[:-cut])
    source, = open_layout('scannet', path)
    read = read_whole(source)
    assert len(read.pairs) == 1
    assert read.losses == [
        ('scene0000_00.sens[1]', 'truncated data; the rest of the stream is lost'),
        ('scene0000_00.sens[2]', 'after a damaged frame'),
        ('scene0000_00.sens[3]', 'after a damaged frame'),
    ]
    assert read.read_bytes == source.size_bytes


def test_sizes_in_a_stream_are_bounded(tmp_path):
    """A frame cannot ask for terabytes, nor a header for endless frames."""
    absurd = bytes(64) + struct.pack('<QQQQ', 0, 0, 2 ** 62, 2 ** 62)
    path = write_sens(tmp_path, [frame(0), absurd], count=2 ** 63)
    source, = open_layout('scannet', path)
    read = read_whole(source)
    assert len(read.pairs) == 1
    assert read.losses[0][1] == 'damaged frame; the rest of the stream is lost'
    assert len(read.losses) < 20


@pytest.mark.parametrize(('header', 'words'), [
    ({'version': 3}, 'found version 3'),
    ({'color': 0}, 'kinds 0 and 1'),
    ({'depth': 2}, 'kinds 2 and 2'),
    ({'size': (60000, 60000)}, 'pixels a side'),
    ({'size': (0, 4)}, 'no pixels'),
    ({'counts_per_metre': 0.0}, '0.0 counts per metre'),
    ({'counts_per_metre': float('nan')}, 'nan counts per metre'),
])
def test_a_wrong_header_is_that_scene_s_problem(tmp_path, header, words):
    """Other scenes are still there, and this one says what is wrong when it is read."""
    write_sens(tmp_path, [frame(0)], **header)
    write_sens(tmp_path, [frame(0)], scene='scene0002_00')
    bad, good = open_layout('scannet', tmp_path)
    with pytest.raises(SourceError, match=f'scene0000_00.sens.*{words}.*SensReader'):
        read_whole(bad)
    assert len(read_whole(good).pairs) == 1


def test_a_file_that_is_no_stream_is_refused(tmp_path):
    """An empty file has no header."""
    path = write_sens(tmp_path, [])
    path.write_bytes(b'')
    source, = open_layout('scannet', path)
    with pytest.raises(SourceError, match='truncated data'):
        read_whole(source)


def test_links_that_lead_out_are_refused(tmp_path):
    """Neither streams nor folders of frames are read from elsewhere."""
    path = write_sens(tmp_path / 'elsewhere', [frame(0)])
    scene = tmp_path / 'scans' / 'scene0000_00'
    scene.mkdir(parents=True)
    (scene / 'scene0000_00.sens').symlink_to(path)
    with pytest.raises(SourceError, match='leads out'):
        open_layout('scannet', tmp_path / 'scans')
    (scene / 'scene0000_00.sens').unlink()
    export_scene(tmp_path / 'frames')
    for part in ('color', 'depth'):
        (scene / part).symlink_to(tmp_path / 'frames' / part)
    with pytest.raises(SourceError, match='leads out'):
        open_layout('scannet', tmp_path / 'scans')


def test_another_folder_says_what_was_expected(tmp_path):
    """Both forms are named."""
    with pytest.raises(SourceError, match=r'color/\*\.jpg.*or <scene>/<scene>\.sens'):
        open_layout('scannet', tmp_path)
