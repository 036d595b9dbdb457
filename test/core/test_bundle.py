# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle opens whole or is refused in one sentence; every kind of damage is tried for real."""

import io
import json
import shutil
import struct
import zipfile

from edgevl_ros.backends import open_backend
from edgevl_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from edgevl_ros.core.bundle import Bundle, check_golden, STARTER
from edgevl_ros.core.errors import BundleError
from edgevl_ros.core.frame import Modality
import numpy as np
import pytest

onnx = pytest.importorskip('onnx', reason='onnx builds the small bundle that these tests damage')
from support.tiny_bundle import write_manifest  # noqa: E402


@pytest.fixture
def folder(tiny_bundle, tmp_path):
    """Copy the small bundle, to be damaged."""
    return shutil.copytree(tiny_bundle, tmp_path / 'bundle')


def edit_manifest(folder, **changes):
    path = folder / 'manifest.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_arrays(path, **changes):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive}
    np.savez_compressed(path, **{**arrays, **changes})
    write_manifest(path.parent, {'rgb': 1.0, 'depth': 0.5})


def test_a_whole_bundle_opens_and_its_golden_frames_hold(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    assert bundle.name == 'tiny'
    assert bundle.modalities == (Modality.RGB, Modality.DEPTH)
    assert bundle.fusion == {Modality.RGB: 1.0, Modality.DEPTH: 0.5}
    assert bundle.vocabulary.labels == ('red', 'green', 'blue')
    assert bundle.model_path('tensorrt').name == 'student.onnx'
    backend = open_backend('onnxruntime', bundle, threads=1)
    assert check_golden(bundle, backend) > 0.9999
    backend.close()


@pytest.mark.skipif(not (STARTER / 'manifest.json').is_file(), reason='no starter bundle here')
def test_an_empty_path_opens_the_starter_bundle():
    assert Bundle.open('').path == STARTER


def test_a_changed_byte_is_found_in_every_file(folder):
    for path in sorted(folder.iterdir()):
        if path.name == 'manifest.json':
            continue
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(BundleError, match=f'{path.name}: expected .* copy the bundle again'):
            Bundle.open(folder)
        path.write_bytes(whole[:-1])
        with pytest.raises(BundleError, match=f'{path.name}.*another size'):
            Bundle.open(folder)
        path.write_bytes(whole)
    Bundle.open(folder)


def test_a_missing_file_and_a_missing_folder_are_named(folder, tmp_path):
    (folder / 'golden.npz').unlink()
    with pytest.raises(BundleError, match='golden.npz: expected a readable file'):
        Bundle.open(folder)
    with pytest.raises(BundleError, match='expected a bundle folder'):
        Bundle.open(tmp_path / 'nowhere')
    with pytest.raises(BundleError, match='is this folder a bundle'):
        Bundle.open(tmp_path)


@pytest.mark.parametrize(
    'text',
    ['', '[]', '{', '"text"', '\x00', '{"schema": 1}', '[' * 200_000],
    ids=['empty', 'list', 'cut', 'text', 'zero', 'schema', 'nested'],
)
def test_a_manifest_that_is_none_is_refused(folder, text):
    (folder / 'manifest.json').write_text(text)
    with pytest.raises(BundleError, match='manifest.json'):
        Bundle.open(folder)


def test_a_huge_manifest_is_not_read(folder):
    (folder / 'manifest.json').write_bytes(b' ' * (2 << 20))
    with pytest.raises(BundleError, match='at most'):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ('changes', 'complaint'),
    [
        ({'schema': 2}, 'expected bundle schema 1, found 2; install'),
        ({'name': 3}, 'name: expected str'),
        ({'embedding_dim': True}, 'embedding_dim: expected int'),
        ({'embedding_dim': 9}, 'expected embeddings with 9 columns'),
        ({'input_size': 64}, 'expected input_size 64'),
        ({'modalities': []}, 'modalities'),
        ({'modalities': ['rgb', 'thermal']}, 'thermal'),
        ({'modalities': ['rgb', 'rgb']}, 'modalities'),
        ({'fusion': {'rgb': 1.0}}, 'fusion: depth'),
        ({'fusion': {'rgb': 0, 'depth': 0}}, 'weight above 0'),
        ({'fusion': {'rgb': -1, 'depth': 1}}, 'fusion: rgb'),
        ({'models': {}}, 'models'),
        ({'models': {'onnxruntime': 'other.onnx'}}, 'other.onnx'),
        ({'models': {'onnxruntime': ['x']}}, 'expected names of listed files'),
        ({'models': {'onnxruntime': {}}}, 'expected names of listed files'),
        ({'cosine_floor': 0}, 'cosine_floor: expected a number above 0'),
        ({'cosine_floor': 1.01}, 'cosine_floor'),
        ({'cosine_floor': float('nan')}, 'cosine_floor'),
        ({'teacher': {}}, 'same teacher everywhere, found None in manifest.json'),
        ({'teacher': {'id': 'other'}}, "same teacher everywhere, found 'other' in manifest.json"),
        ({'files': {}}, 'preprocess.yaml'),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_by_field(folder, changes, complaint):
    edit_manifest(folder, **changes)
    with pytest.raises(BundleError, match=complaint):
        Bundle.open(folder)


@pytest.mark.parametrize(
    'name', ['../secret', '/etc/hostname', 'a/b', '..', '.', '', 'a\\b', 'a\0b']
)
def test_no_file_name_leaves_the_folder(folder, name):
    (folder.parent / 'secret').write_text('secret')
    manifest = json.loads((folder / 'manifest.json').read_text())
    entry = {'sha256': '0' * 64, 'bytes': 6}
    edit_manifest(folder, files={**manifest['files'], name: entry})
    with pytest.raises(BundleError, match='expected plain file names'):
        Bundle.open(folder)


def test_a_link_is_not_followed(folder, tmp_path):
    outside = tmp_path / 'outside.npz'
    shutil.move(folder / 'golden.npz', outside)
    (folder / 'golden.npz').symlink_to(outside)
    with pytest.raises(BundleError, match='found a link'):
        Bundle.open(folder)


def test_pickled_arrays_are_refused(folder):
    edit_arrays(folder / 'vocabulary.npz', labels=np.array(['red', object()], dtype=object))
    with pytest.raises(BundleError, match='vocabulary.npz: expected arrays without pickle'):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ('name', 'changes', 'complaint'),
    [
        ('vocabulary.npz', {'labels': np.array(['red', 'red', 'blue'])}, 'distinct labels'),
        ('vocabulary.npz', {'logit_scale': np.float32(-1)}, 'logit scale'),
        ('phrases.npz', {'embeddings': np.zeros((16, 8), np.float16)}, 'unit rows'),
        ('golden.npz', {'rgb_input': np.zeros((2, 3, 9, 9), np.float16)}, 'rgb_input'),
        ('golden.npz', {'depth_embedding': np.zeros((1, 8), np.float32)}, 'depth_embedding'),
        ('golden.npz', {'rgb': np.zeros((2, 4, 4), np.uint8)}, 'as many in rgb'),
        ('golden.npz', {'rgb': np.zeros((2, 4, 4, 1), np.uint8)}, 'Frame.rgb'),
        ('golden.npz', {'rgb': np.uint8(0)}, 'as many in rgb'),
        ('golden.npz', {'rgb': np.zeros((3, 4, 4, 3), np.uint8)}, 'as many in rgb'),
        ('golden.npz', {'rgb': np.zeros((2, 4, 4, 3), np.int64)}, 'as many in rgb'),
        ('golden.npz', {'depth_mm': np.zeros((1, 4, 4), np.uint16)}, 'as many in rgb'),
        ('golden.npz', {'depth_mm': np.zeros((2, 4, 4), np.float32)}, 'as many in rgb'),
        ('golden.npz', {'rgb_embedding': np.full((2, 8), np.nan)}, 'rgb_embedding.*unit rows'),
        ('golden.npz', {'depth_embedding': np.ones((2, 8))}, 'depth_embedding.*unit rows'),
        ('golden.npz', {'rgb_embedding': np.full((2, 8), 'x')}, 'rgb_embedding.*floating'),
        ('phrases.npz', {'embeddings': np.full((16, 8), 'x')}, 'expected embeddings with 8'),
        ('phrases.npz', {'embeddings': np.float16(1)}, 'expected embeddings with 8'),
        ('vocabulary.npz', {'embeddings': np.float32(1)}, 'expected embeddings with 8'),
        ('vocabulary.npz', {'labels': np.array('red')}, 'expected a vocabulary'),
        ('phrases.npz', {'logit_scale': np.ones(2)}, 'expected phrases'),
        ('phrases.npz', {'phrases': np.array([f'A {i}' for i in range(16)])}, "like 'a 0'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(folder, name, changes, complaint):
    edit_arrays(folder / name, **changes)
    with pytest.raises(BundleError, match=f'{name}.*{complaint}'):
        Bundle.open(folder)


@pytest.mark.parametrize('name', ['vocabulary.npz', 'phrases.npz'])
def test_words_of_another_teacher_are_refused(folder, name):
    edit_arrays(folder / name, teacher=np.array('other'))
    with pytest.raises(BundleError, match=f"same teacher everywhere.* 'other' in {name}"):
        Bundle.open(folder)


def corrupt_deflate(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = archive.getinfo('embeddings.npy')
    start = entry.header_offset + 30 + len(entry.filename)
    start += struct.unpack_from('<H', content, entry.header_offset + 28)[0]
    return content[:start] + b'\xff' * 8 + content[start + 8:]


def in_every_header(content, local, central, value):
    """Write two bytes into each entry's header and into its copy in the directory."""
    content = bytearray(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            struct.pack_into('<H', content, entry.header_offset + local, value)
    at = content.find(b'PK\x01\x02')
    while at >= 0:
        struct.pack_into('<H', content, at + central, value)
        at = content.find(b'PK\x01\x02', at + 4)
    return bytes(content)


def claim_terabytes(content):
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as whole, zipfile.ZipFile(stream, 'w') as changed:
        for name in whole.namelist():
            with changed.open(name, 'w') as member:
                if name == 'embeddings.npy':
                    header = {'descr': '<f8', 'fortran_order': False, 'shape': (40 << 40,)}
                    np.lib.format.write_array_header_1_0(member, header)
                else:
                    member.write(whole.read(name))
    return stream.getvalue()


@pytest.mark.parametrize(
    'damage',
    [
        corrupt_deflate,
        lambda content: in_every_header(content, 8, 10, 99),
        lambda content: in_every_header(content, 6, 8, 1),
        claim_terabytes,
        lambda content: content[: len(content) // 2],
        lambda content: content[:0],
    ],
    ids=['deflate', 'unknown method', 'encrypted', '320 TB', 'cut', 'empty'],
)
def test_a_damaged_archive_is_refused_in_one_sentence(folder, damage):
    path = folder / 'phrases.npz'
    path.write_bytes(damage(path.read_bytes()))
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    with pytest.raises(BundleError, match='phrases.npz: expected arrays.*again$'):
        Bundle.open(folder)


def test_a_preprocess_spec_nested_without_end_is_refused(folder):
    (folder / 'preprocess.yaml').write_text('[' * 20_000)
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    with pytest.raises(BundleError, match='preprocess.yaml: expected a preprocess spec'):
        Bundle.open(folder)


@pytest.mark.parametrize('path', ['~nosuchuser/bundle', 'a' * 5000, 'a\0b'])
def test_a_path_that_cannot_be_is_refused(path):
    with pytest.raises(BundleError, match='expected a bundle'):
        Bundle.open(path)


@pytest.mark.parametrize(
    'location', ['../secret', '/etc/hostname', 'unlisted.bin', './phrases.npz']
)
@pytest.mark.parametrize('name', ['student.cpu.onnx', 'student.onnx'])
def test_no_graph_reads_a_file_that_is_not_listed(folder, location, name):
    model = onnx.load(folder / name)
    tensor = model.graph.initializer[0]
    tensor.ClearField('raw_data')
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value=location)
    (folder / name).write_bytes(model.SerializeToString())
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    (folder / 'unlisted.bin').write_bytes(bytes(96))
    with pytest.raises(BundleError, match=f'{name}: expected weights in this file.*{location}'):
        Bundle.open(folder)


def test_a_graph_may_read_a_listed_file(folder):
    model = onnx.load(folder / 'student.cpu.onnx')
    tensor = model.graph.initializer[0]
    (folder / 'weights.bin').write_bytes(tensor.raw_data)
    tensor.ClearField('raw_data')
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='weights.bin')
    (folder / 'student.cpu.onnx').write_bytes(model.SerializeToString())
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    bundle = Bundle.open(folder)
    backend = open_backend('onnxruntime', bundle, threads=1)
    assert check_golden(bundle, backend) > 0.9999
    backend.close()


class NotANumber(OnnxRuntimeBackend):
    """A runtime that runs the student and loses its result."""

    def embed(self, images):
        """Give NaN in the right shape."""
        return super().embed(images) * np.float32(np.nan)


def test_a_backend_that_gives_nan_does_not_pass_the_golden_check(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    backend = NotANumber(bundle, threads=1)
    with pytest.raises(BundleError, match='expected a cosine of at least 0.99, found nan'):
        check_golden(bundle, backend)
    backend.close()


def test_a_broken_archive_is_refused(folder):
    (folder / 'phrases.npz').write_bytes(b'PK\x03\x04 no archive')
    write_manifest(folder, {'rgb': 1.0, 'depth': 0.5})
    with pytest.raises(BundleError, match='phrases.npz: expected arrays'):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ('array', 'complaint'),
    [('rgb_embedding', 'expected a cosine of at least'), ('depth_input', 'mean difference')],
)
def test_golden_frames_that_do_not_hold_are_told(folder, array, complaint):
    with np.load(folder / 'golden.npz') as archive:
        changed = np.roll(archive[array], 1, axis=-1) * (1 if array == 'rgb_embedding' else 2)
    edit_arrays(folder / 'golden.npz', **{array: changed})
    bundle = Bundle.open(folder)
    backend = open_backend('onnxruntime', bundle, threads=1)
    with pytest.raises(BundleError, match=complaint):
        check_golden(bundle, backend)
    backend.close()


def test_a_model_for_an_unknown_runtime_is_refused(tiny_bundle):
    with pytest.raises(BundleError, match='expected a model for openvino, found models for'):
        Bundle.open(tiny_bundle).model_path('openvino')
