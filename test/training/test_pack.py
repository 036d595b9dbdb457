# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle holds what its owner asked for, and proves that the robot sees training's pixels."""
from __future__ import annotations

import json
import shutil

from edgevl_ros.backends import open_backend
from edgevl_ros.core.bundle import Bundle, check_golden
from edgevl_ros.core.errors import BundleError
from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.onnx_files import external_files
from edgevl_ros.core.preprocess import model_input, PreprocessSpec
import numpy as np
import pytest

pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('pyarrow', reason='pyarrow is not installed')
onnx = pytest.importorskip('onnx', reason='onnx is not installed')

from edgevl_training import cli  # noqa: E402, I100
from edgevl_training.curated_split import CuratedSplit  # noqa: E402
from edgevl_training.errors import RecipeError  # noqa: E402
from edgevl_training.packing.contents import graphs_of  # noqa: E402
from edgevl_training.packing.golden import photographed_frames  # noqa: E402
from edgevl_training.packing.words import read_labels  # noqa: E402
from edgevl_training.training_data import batches_of, BatchPlan  # noqa: E402
from support.camera_bag import millimetres, picture  # noqa: E402
from support.curated_folder import make_curated  # noqa: E402
from support.fixtures import PHRASE_LISTS  # noqa: E402

CHANGES = {
    'rgb': ('rgb', 'mean', [0.1, 0.5, 0.5]),
    'depth': ('depth', 'far_m', 7.0),
}


@pytest.fixture
def pack(adapted, tmp_path, monkeypatch):
    """Give a function that packs what was exported; it returns status and bundle folder."""
    monkeypatch.setattr('edgevl_training.phrases.LISTS', PHRASE_LISTS)

    def run(*words, exported=adapted / 'bundle.work' / 'exported'):
        out = tmp_path / 'packed'
        given = ['--exported', exported, '--out', out, *words]
        return cli.main(['pack', *map(str, given)]), out
    return run


def test_training_gives_the_golden_inputs_and_so_does_the_robot(adapted, tmp_path):
    """All three paths of a frame to the network end in the same numbers."""
    bundle = Bundle.open(adapted / 'bundle')
    with np.load(adapted / 'bundle' / 'golden.npz') as golden:
        arrays = dict(golden)
    count = len(arrays['rgb'])
    make_curated(
        tmp_path / 'curated', list(arrays['rgb']), np.eye(count, 4), splits=['train'] * count,
        depths=list(arrays['depth_mm']))
    split = CuratedSplit(tmp_path / 'curated', 'train')
    [batch] = batches_of(split, bundle.preprocess, BatchPlan(count))
    np.testing.assert_array_equal(batch.rgb.astype(np.float16), arrays['rgb_input'])
    np.testing.assert_array_equal(batch.depth.astype(np.float16), arrays['depth_input'])
    for row, frame in enumerate(bundle.golden.frames):
        seen = model_input(bundle.preprocess, frame, list(Modality))
        np.testing.assert_array_equal(seen, [batch.rgb[row], batch.depth[row]])


@pytest.mark.parametrize('modality', CHANGES)
def test_other_pixels_are_noticed_by_golden_frames(adapted, tmp_path, modality):
    """Somebody changes how images are prepared, and even puts its hash into the manifest."""
    folder = tmp_path / 'bundle'
    shutil.copytree(adapted / 'bundle', folder)
    section, key, value = CHANGES[modality]
    path = folder / 'preprocess.yaml'
    import yaml

    document = yaml.safe_load(path.read_text())
    document[section][key] = value
    path.write_text(yaml.safe_dump(document))
    manifest = json.loads((folder / 'manifest.json').read_text())
    manifest['files']['preprocess.yaml'] = {
        'sha256': sha256_of(path), 'bytes': path.stat().st_size}
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    bundle = Bundle.open(folder)
    with pytest.raises(BundleError, match=f'golden {modality} frames'):
        check_golden(bundle, open_backend('onnxruntime', bundle, threads=1))


def test_both_placements_share_their_weights(adapted):
    exported = adapted / 'bundle.work' / 'exported' / 'student.onnx'
    packed = adapted / 'bundle' / 'student.onnx'
    assert external_files(packed.read_bytes()) == {'student.cpu.onnx'}
    assert packed.stat().st_size < exported.stat().st_size / 2
    there, here = (onnx.load(path).graph.initializer for path in (exported, packed))
    for one, other in zip(there, here, strict=True):
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(one), onnx.numpy_helper.to_array(other))


def test_graphs_of_other_weights_stand_alone(tmp_path, capsys):
    for seed, name in enumerate(('student.onnx', 'student.cpu.onnx')):
        weights = np.random.default_rng(seed).integers(-127, 128, (64, 64)).astype(np.int8)
        value = onnx.helper.make_tensor_value_info('y', onnx.TensorProto.INT8, [64, 64])
        node = onnx.helper.make_node('Identity', ['w'], ['y'])
        graph = onnx.helper.make_graph(
            [node], 'g', [], [value], [onnx.numpy_helper.from_array(weights, 'w')])
        onnx.save(onnx.helper.make_model(graph), tmp_path / name)
    graphs = graphs_of(tmp_path)
    assert graphs == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert 'student.onnx keeps its own weights' in capsys.readouterr().out


def test_parts_of_a_weight_stay_where_they_are_and_the_rest_is_shared(tmp_path):
    """The columns that an attention's weight was cut into lie nowhere in one piece."""
    random = np.random.default_rng(3)
    whole, other = (random.integers(-127, 128, (64, 96)).astype(np.int8) for _ in range(2))
    for name, tensors in (
        ('student.cpu.onnx', {'w': whole, 'v': other}),
        ('student.onnx', {'w.part0': whole[:, :32].copy(), 'v': other}),
    ):
        values = [
            onnx.helper.make_tensor_value_info(f'{key}.y', onnx.TensorProto.INT8, tensor.shape)
            for key, tensor in tensors.items()]
        nodes = [onnx.helper.make_node('Identity', [key], [f'{key}.y']) for key in tensors]
        graph = onnx.helper.make_graph(
            nodes, 'g', [], values,
            [onnx.numpy_helper.from_array(tensor, key) for key, tensor in tensors.items()])
        onnx.save(onnx.helper.make_model(graph), tmp_path / name)
    packed = onnx.load_from_string(graphs_of(tmp_path)['student.onnx'])
    elsewhere = {t.name: bool(t.external_data) for t in packed.graph.initializer}
    assert elsewhere == {'w.part0': False, 'v': True}


def test_the_half_precision_twin_comes_along(pack, adapted, tmp_path):
    """So that a robot can find out which of the two is faster there."""
    exported = shutil.copytree(adapted / 'bundle.work' / 'exported', tmp_path / 'twins')
    half = exported / 'student.fp16.onnx'
    shutil.copyfile(exported / 'student.cpu.onnx', half)
    manifest = json.loads((exported / 'manifest.json').read_text())
    manifest['files'].append(
        {'name': half.name, 'sha256': sha256_of(half), 'bytes': half.stat().st_size})
    (exported / 'manifest.json').write_text(json.dumps(manifest))
    curated = ('--curated', adapted / 'bundle.work' / 'curated')
    status, out = pack(*curated, exported=exported)
    assert status == 0
    bundle = Bundle.open(out)
    assert bundle.model_path('tensorrt-fp16').read_bytes() == half.read_bytes()
    half.write_bytes(b'other')
    status, _ = pack('--name', 'again', *curated, exported=exported)
    assert status == 2


def test_owners_choose_words_name_weights_and_frames(pack, adapted, capsys):
    pairs = adapted / 'bundle.work' / 'pairs'
    words = [
        '--vocabulary', 'Home Office', 'annual-crop', '--name', 'mine', '--fusion', '1', '0.5',
        '--golden-pairs', pairs, '--license', 'CC0-1.0',
    ]
    status, out = pack(*words)
    assert status == 0
    bundle = Bundle.open(out)
    assert check_golden(bundle, open_backend('onnxruntime', bundle, threads=1)) > 0.999
    assert bundle.name == 'mine'
    assert bundle.vocabulary.labels == ('Home Office', 'annual-crop')
    assert {'home office', 'annual crop', 'kitchen'} <= set(bundle.phrases.index)
    known = bundle.phrases.vocabulary(bundle.vocabulary.labels).embeddings
    np.testing.assert_allclose(known, bundle.vocabulary.embeddings, atol=1e-3)
    assert bundle.fusion == {Modality.RGB: 1.0, Modality.DEPTH: 0.5}
    first, last = bundle.golden.frames
    np.testing.assert_array_equal(first.rgb, picture(0))
    np.testing.assert_array_equal(last.rgb, picture(23))
    np.testing.assert_array_equal(np.nan_to_num(1000 * last.depth).round(), millimetres(23))
    assert json.loads((out / 'metrics.json').read_text())['results'] is None
    card = (out / 'MODEL_CARD.md').read_text()
    assert 'Its accuracy was not measured' in card
    assert 'Home Office, annual-crop' in card
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o644}
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert pack(*words)[0] == 0
    assert 'finished earlier, nothing to do' in capsys.readouterr().out
    assert pack(*words, '--name', 'yours')[0] == 2
    assert 'name: there mine, asked yours' in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_a_float_student_is_refused(pack, adapted, capsys):
    status, out = pack(exported=adapted / 'bundle.work' / 'exported_fp32')
    assert (status, out.exists()) == (2, False)
    assert 'expected the export of an INT8 student' in capsys.readouterr().err


def test_a_damaged_export_is_refused(pack, adapted, tmp_path, capsys):
    shutil.copytree(adapted / 'bundle.work' / 'exported', tmp_path / 'exported')
    with (tmp_path / 'exported' / 'student.onnx').open('ab') as graph:
        graph.write(b'more')
    status, out = pack(exported=tmp_path / 'exported')
    assert (status, out.exists()) == (2, False)
    assert 'student.onnx: expected the file that the manifest lists, found another' in (
        capsys.readouterr().err)


def test_an_export_far_from_its_pairs_asks_for_words(pack, adapted, tmp_path, capsys):
    shutil.copytree(adapted / 'bundle.work' / 'exported', tmp_path / 'far' / 'away')
    status, out = pack(exported=tmp_path / 'far' / 'away')
    assert (status, out.exists()) == (2, False)
    assert '--vocabulary: is required' in capsys.readouterr().err


def test_something_else_is_never_written_over(pack, tmp_path, capsys):
    (tmp_path / 'packed').mkdir()
    (tmp_path / 'packed' / 'diary.txt').write_text('dear')
    status, out = pack()
    assert status == 2
    assert [path.name for path in out.iterdir()] == ['diary.txt']
    assert 'expected nothing or a bundle' in capsys.readouterr().err


def test_frames_of_another_camera_lie_within_its_scale():
    """Beyond full scale, which is 1.0, all would look alike."""
    spec = PreprocessSpec.from_yaml(
        'schema: 1\ninput_size: 32\nresize: {mode: squash, size: 32, interpolation: area}\n'
        'rgb: {mean: [0, 0, 0], std: [1, 1, 1]}\n'
        'depth: {near_m: 0.0, far_m: 1.0, missing: 0.0, mean: 0.5, std: 0.5}\n')
    _, depth = photographed_frames(spec)
    assert depth.max() == 1000
    assert len(np.unique(depth[1])) > 100


def test_labels_come_from_a_file_or_as_they_are(tmp_path):
    (tmp_path / 'words.txt').write_text('# mine\nHome  Office\n\nkitchen\n')
    assert read_labels([str(tmp_path / 'words.txt')]) == ('Home Office', 'kitchen')
    assert read_labels(['Home Office', 'kitchen']) == ('Home Office', 'kitchen')
    for wrong in (['kitchen', 'Kitchen'], ['unknown'], [str(tmp_path / 'none.txt')], ['']):
        with pytest.raises(RecipeError, match='--vocabulary: '):
            read_labels(wrong)


def test_numbers_of_another_student_are_refused(pack, adapted, tmp_path, capsys):
    """What was measured of PTQ says nothing about the student of stage 2."""
    work = adapted / 'bundle.work'
    shutil.copytree(work / 'evaluated', tmp_path / 'evaluated')
    path = tmp_path / 'evaluated' / 'manifest.json'
    manifest = json.loads(path.read_text())
    manifest['models'] = [one for one in manifest['models'] if one['name'] != 'int8']
    path.write_text(json.dumps(manifest))
    status, out = pack('--evaluated', tmp_path / 'evaluated')
    assert (status, out.exists()) == (2, False)
    assert 'expected numbers of the student that is packed' in capsys.readouterr().err
