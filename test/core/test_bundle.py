# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle opens whole or is refused in one sentence; every kind of damage is tried for real."""

import json
import shutil

from edgevl_ros.backends import open_backend
from edgevl_ros.core.bundle import Bundle, check_golden, STARTER
from edgevl_ros.core.errors import BundleError
from edgevl_ros.core.frame import Modality
import numpy as np
import pytest

pytest.importorskip('onnx', reason='onnx builds the small bundle that these tests damage')
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


@pytest.mark.parametrize('text', ['', '[]', '{', '"text"', '\x00', '{"schema": 1}'])
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
        ('golden.npz', {'rgb': np.zeros((2, 4, 4), np.uint8)}, 'Frame.rgb'),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(folder, name, changes, complaint):
    edit_arrays(folder / name, **changes)
    with pytest.raises(BundleError, match=f'{name}.*{complaint}'):
        Bundle.open(folder)


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
