# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""NYU Depth v2, on small files of the same structure as the published one."""

from edgevl_training.dataset import SecondModality
from edgevl_training.errors import SourceError
from edgevl_training.sources.layouts import open_layout
import numpy as np
import pytest
from support.picture_files import pixels_of, read_whole

h5py = pytest.importorskip('h5py', reason='the training extra is not installed')

HEIGHT, WIDTH, COUNT = 6, 8, 4
SCENES = ['kitchen_0001', 'kitchen_0002a', 'kitchen_0002b', 'office_0003']
FILE = 'nyu_depth_v2_labeled.mat'


def matlab_images():
    """Give images as MATLAB indexes them: (H, W, 3, N)."""
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3, COUNT), np.uint8)


def matlab_depths():
    """Give metres as MATLAB indexes them: (H, W, N)."""
    depths = np.random.default_rng(1).uniform(0.7, 9.9, (HEIGHT, WIDTH, COUNT)).astype(np.float32)
    depths[0, 1, 0], depths[2, 3, 0], depths[4, 5, 0] = 1.2346, np.nan, 70.0
    return depths


def write_cells(mat, name, texts):
    """Write a cell array as MATLAB 7.3 does: references to UTF-16 units in a hidden group."""
    references = np.empty((1, len(texts)), h5py.ref_dtype)
    for index, text in enumerate(texts):
        units = np.frombuffer(text.encode('utf-16-le'), '<u2').reshape(-1, 1)
        references[0, index] = mat.create_dataset(f'#refs#/{name}{index}', data=units).ref
    mat.create_dataset(name, data=references)


def write_mat(path):
    """Write a file of MATLAB's structure: HDF5 has the axes in reverse."""
    with h5py.File(path, 'w', userblock_size=512) as mat:
        mat.create_dataset('images', data=matlab_images().T, chunks=(2, 1, WIDTH, HEIGHT),
                           compression='gzip')
        mat.create_dataset('depths', data=matlab_depths().T, chunks=(1, WIDTH, HEIGHT),
                           compression='gzip')
        mat.create_dataset('rawDepths', data=matlab_depths().T / 2)
        write_cells(mat, 'scenes', SCENES)
        write_cells(mat, 'sceneTypes', [scene.rpartition('_')[0] for scene in SCENES])
    return path


def test_axes_units_scenes_and_stamps_are_those_of_the_file(tmp_path):
    """Axes come back from MATLAB's to (H, W, 3), scenes become bags."""
    source, = open_layout('nyuv2', write_mat(tmp_path / FILE))
    assert source.modality == SecondModality()
    read = read_whole(source)
    assert read.losses == [] and read.read_bytes == source.size_bytes
    assert [pair.bag for pair in read.pairs] == [
        'kitchen_0001', 'kitchen_0002', 'kitchen_0002', 'office_0003']
    assert [pair.truth for pair in read.pairs] == ['kitchen'] * 3 + ['office']
    assert [pair.color_stamp_ns for pair in read.pairs] == [n * 10 ** 9 for n in range(COUNT)]
    for index, pair in enumerate(read.pairs):
        np.testing.assert_array_equal(pixels_of(pair.color), matlab_images()[..., index])
    counts = pixels_of(read.pairs[0].depth)
    assert counts.dtype == np.uint16 and counts.shape == (HEIGHT, WIDTH)
    assert (counts[0, 1], counts[2, 3], counts[4, 5]) == (1235, 0, 65535)
    metres = pixels_of(read.pairs[3].depth) * source.modality.scale
    np.testing.assert_allclose(metres, matlab_depths()[..., 3], atol=0.00051)


def test_the_folder_will_do_and_raw_depth_can_be_had(tmp_path):
    """What the sensor gave is half of the other in this file."""
    write_mat(tmp_path / FILE)
    source, = open_layout('nyuv2', tmp_path, depth_kind='raw', name='nyu')
    assert source.name == 'nyu'
    metres = pixels_of(read_whole(source).pairs[3].depth) * source.modality.scale
    np.testing.assert_allclose(metres, matlab_depths()[..., 3] / 2, atol=0.00051)
    with pytest.raises(SourceError, match='raw or filled'):
        open_layout('nyuv2', tmp_path, depth_kind='best')


def test_without_scenes_all_is_one_bag(tmp_path):
    """Nothing is made up."""
    with h5py.File(write_mat(tmp_path / FILE), 'a') as mat:
        del mat['scenes'], mat['sceneTypes']
    source, = open_layout('nyuv2', tmp_path)
    assert {(pair.bag, pair.truth) for pair in read_whole(source).pairs} == {
        ('nyu_depth_v2_labeled', None)
    }


def test_a_damaged_image_costs_itself_only(tmp_path):
    """The others of the file are still read."""
    path = write_mat(tmp_path / FILE)
    with h5py.File(path, 'r') as mat:
        chunk = mat['depths'].id.get_chunk_info(1)
        assert chunk.chunk_offset == (1, 0, 0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 20:chunk.byte_offset + chunk.size - 20] = bytes(chunk.size - 40)
    path.write_bytes(data)
    source, = open_layout('nyuv2', path)
    read = read_whole(source)
    assert [pair.color_stamp_ns for pair in read.pairs] == [0, 2 * 10 ** 9, 3 * 10 ** 9]
    assert read.losses == [(f'{FILE}[1]', 'cannot be read: OSError')]
    assert read.read_bytes == source.size_bytes
    raw, = open_layout('nyuv2', path, depth_kind='raw')
    assert len(read_whole(raw).pairs) == COUNT


def replace(path, name, make):
    """Replace a variable of the file."""
    with h5py.File(write_mat(path), 'a') as mat:
        del mat[name]
        make(mat)


@pytest.mark.parametrize(('name', 'make', 'words'), [
    ('depths', lambda _mat: None, 'no variable depths of its own among images, rawDepths'),
    ('images', lambda mat: mat.create_group('images'), 'no variable images'),
    ('depths', lambda mat: mat.create_dataset('depths', shape=(COUNT, HEIGHT, WIDTH), dtype='f4'),
     r'found images uint8 \(4, 3, 8, 6\) and depths float32 \(4, 6, 8\)'),
    ('depths', lambda mat: mat.__setitem__('depths', h5py.ExternalLink('other.h5', 'depths')),
     'of its own'),
    ('depths', lambda mat: mat.__setitem__('depths', h5py.SoftLink('/rawDepths')), 'of its own'),
    ('depths', lambda mat: mat.create_dataset(
        'depths', shape=(COUNT, WIDTH, HEIGHT), dtype='f4', external=[('/etc/passwd', 0, 768)]),
     'of its own'),
])
def test_other_structures_are_refused_with_what_was_found(tmp_path, name, make, words):
    """Neither other axes nor links to other files are read."""
    replace(tmp_path / FILE, name, make)
    with pytest.raises(SourceError, match=words):
        open_layout('nyuv2', tmp_path)


def test_a_size_beyond_memory_is_refused(tmp_path):
    """The header of a small file may promise anything."""
    with h5py.File(tmp_path / FILE, 'w') as mat:
        for name, shape, kind in (('images', (2, 3, 9000, 9000), 'u1'),
                                  ('depths', (2, 9000, 9000), 'f4')):
            chunks = (1,) * (len(shape) - 1) + (9,)
            mat.create_dataset(name, shape=shape, dtype=kind, chunks=chunks)
    with pytest.raises(SourceError, match='pixels a side'):
        open_layout('nyuv2', tmp_path)
    with h5py.File(tmp_path / FILE, 'w') as mat:
        mat.create_dataset('images', shape=(COUNT, 3, WIDTH, HEIGHT), dtype='u1')
        mat.create_dataset('depths', shape=(COUNT, WIDTH, HEIGHT), dtype='f4',
                           maxshape=(None, None, None), chunks=(5000, 500, 500))
    with pytest.raises(SourceError, match='chunks of at most'):
        open_layout('nyuv2', tmp_path)


def test_no_file_and_no_hdf5_name_the_remedy(tmp_path):
    """A file that broke off is to be downloaded again."""
    with pytest.raises(SourceError, match='found no such file'):
        open_layout('nyuv2', tmp_path)
    path = write_mat(tmp_path / FILE)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(SourceError, match='download it again'):
        open_layout('nyuv2', tmp_path)
