# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb export: graphs that are proven, a folder that tells where they come from."""
from __future__ import annotations

import json
import shutil

from edgevl_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from edgevl_ros.core.files import sha256_of
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.preprocess import PreprocessSpec
import numpy as np
import pytest

pytest.importorskip('accelerate', reason='accelerate is not installed')
torch = pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('timm', reason='timm is not installed')
pytest.importorskip('modelopt', reason='nvidia-modelopt is not installed')

from edgevl_training import contrast  # noqa: E402, I100
from edgevl_training.errors import (  # noqa: E402
    DatasetError,
    OutputError,
    RecipeError,
    TrainingError,
)
from edgevl_training.export import run  # noqa: E402
from edgevl_training.exporting import int8  # noqa: E402
from edgevl_training.exporting.parity import check, Exported  # noqa: E402
from edgevl_training.output import read_manifest  # noqa: E402
from support.contrasting import arguments, DIM, make_data, make_stage1  # noqa: E402

RGB = Modality.RGB
INT8 = ['student.onnx', 'student.cpu.onnx']
ALWAYS = ['preprocess.yaml', 'parity.json', 'parity.png']
TWINS = ['student.fp32.onnx', 'student.fp16.onnx']


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Give a small curated data set."""
    return make_data(tmp_path_factory.mktemp('data') / 'curated')


@pytest.fixture(scope='module')
def stage1(data, tmp_path_factory):
    """Give a float student."""
    return make_stage1(data, tmp_path_factory.mktemp('stage1') / 'out', epochs=1)


@pytest.fixture(scope='module')
def quantized(data, stage1, tmp_path_factory):
    """Give an INT8 student."""
    out = tmp_path_factory.mktemp('stage2') / 'out'
    assert contrast.run(arguments(data, stage1, out, '--ptq')) == 0
    return out


@pytest.fixture(scope='module')
def exported(quantized, tmp_path_factory):
    """Give the export of the INT8 student, with both twins."""
    out = tmp_path_factory.mktemp('export') / 'out'
    assert export(quantized, out, '--twins', 'fp32', 'fp16') == 0
    return out


def export(student, out, *more):
    """Run the verb, which leaves the threads of torch to the next one as it found them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        return run(['--student', str(student), '--out', str(out), *more])
    finally:
        left = torch.get_num_threads()
        torch.set_num_threads(threads)
        assert left == threads + 1


def test_an_int8_student_becomes_two_placements_and_its_twins(exported):
    manifest = read_manifest(exported, 'export')
    assert [file['name'] for file in manifest['files']] == [*INT8, *TWINS, *ALWAYS]
    assert {path.name for path in exported.iterdir()} == {
        *INT8, *TWINS, *ALWAYS, 'manifest.json'}
    for file in manifest['files']:
        assert sha256_of(exported / file['name']) == file['sha256']
        assert (exported / file['name']).stat().st_size == file['bytes']
    sizes = {file['name']: file['bytes'] for file in manifest['files']}
    parameters = manifest['student']['parameters']
    for name in INT8:
        assert sizes[name] <= 1.15 * parameters
    assert sizes['student.fp32.onnx'] > 3.9 * parameters
    assert 1.9 * parameters < sizes['student.fp16.onnx'] < 2.2 * parameters


def test_the_manifest_tells_what_it_is_and_where_it_comes_from(exported, quantized, stage1, data):
    manifest = read_manifest(exported, 'export')
    trained = read_manifest(quantized, 'contrast')
    for key in ('teacher', 'student', 'second_modality'):
        assert manifest[key] == trained[key]
    assert (manifest['precision'], manifest['modalities']) == ('int8', 'both')
    assert manifest['teacher']['dim'] == DIM
    PreprocessSpec.from_yaml(manifest['preprocess'])
    assert (exported / 'preprocess.yaml').read_text() == manifest['preprocess']
    lineage = {item['verb']: item for item in manifest['lineage']}
    for verb, folder in (('contrast', quantized), ('distill', stage1), ('curate', data)):
        assert lineage[verb]['manifest_sha256'] == sha256_of(folder / 'manifest.json')
        assert lineage[verb]['recipe'] == read_manifest(folder, verb)['recipe']
    # The data of this test was taught by nobody.
    assert 'missing' in lineage['teach']


def test_the_graphs_are_proven_on_both_modalities(exported):
    parity = json.loads((exported / 'parity.json').read_text())
    assert parity == read_manifest(exported, 'export')['parity']
    assert set(parity['graphs']) == {*INT8, *TWINS}
    for graph in (*parity['graphs'].values(), {'cosines': parity['placements']}):
        assert {name: of['count'] for name, of in graph['cosines'].items()} == {
            'rgb': 6, 'depth': 6}
        for of in graph['cosines'].values():
            assert 0.999 < of['mean'] <= 1.000001
            assert of['least'] <= of['fifth_percentile'] <= 1.000001
    assert parity['graphs']['student.onnx']['against'] == 'fake-quant'
    assert parity['graphs']['student.fp16.onnx']['against'] == 'float'
    assert (exported / 'parity.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize('graph', ['student.cpu.onnx', 'student.fp32.onnx', 'student.fp16.onnx'])
def test_the_robots_backend_takes_it(exported, graph):
    class Asked:
        preprocess = PreprocessSpec.from_yaml((exported / 'preprocess.yaml').read_text())
        embedding_dim = DIM

        def model_path(self, _):
            return exported / graph

    backend = OnnxRuntimeBackend(Asked(), threads=1)
    side = Asked.preprocess.input_size
    rows = backend.embed(np.random.default_rng(0).random((2, 3, side, side), np.float32))
    backend.close()
    assert rows.shape == (2, DIM)


def test_a_finished_export_stays(exported, quantized, capsys):
    before = (exported / 'manifest.json').read_bytes()
    assert export(quantized, exported, '--twins', 'fp32', 'fp16') == 0
    told = capsys.readouterr().out
    assert 'finished earlier' in told
    assert 'student.cpu.onnx' in told and 'mean cosine to the fake-quant network' in told
    assert (exported / 'manifest.json').read_bytes() == before
    with pytest.raises(OutputError, match='twins'):
        export(quantized, exported)


def test_a_float_student_becomes_its_float_graph(stage1, data, tmp_path):
    assert export(stage1, tmp_path / 'out', '--data', str(data), '--pairs', '2') == 0
    manifest = read_manifest(tmp_path / 'out', 'export')
    assert [file['name'] for file in manifest['files']] == ['student.fp32.onnx', *ALWAYS]
    assert manifest['precision'] == 'fp32'
    cosines = manifest['parity']['graphs']['student.fp32.onnx']['cosines']
    assert {of['count'] for of in cosines.values()} == {2}
    assert min(of['least'] for of in cosines.values()) > 0.99999
    assert [item['verb'] for item in manifest['lineage']][:2] == ['distill', 'curate']


def test_a_graph_that_is_not_the_network_is_refused_and_mended(quantized, tmp_path, monkeypatch):
    """One scale in the graph is not that of training; without the fault the folder is finished."""
    true_scales = int8.activation_scales

    def tampered(student):
        scales = true_scales(student)
        first = next(name for name in scales if name.endswith('fc2'))
        return {**scales, first: scales[first] / 20}

    out = tmp_path / 'out'
    monkeypatch.setattr(int8, 'activation_scales', tampered)
    with pytest.raises(TrainingError, match=r'above 0\.999, found\n  student\.onnx, rgb: 0\.\d'):
        export(quantized, out)
    assert not (out / 'manifest.json').exists()
    parity = json.loads((out / 'parity.json').read_text())
    assert parity['graphs']['student.cpu.onnx']['cosines']['rgb']['mean'] < 0.999
    monkeypatch.undo()
    assert export(quantized, out) == 0
    assert read_manifest(out, 'export')['parity']['placements']['rgb']['mean'] > 0.999


@pytest.mark.parametrize('state', ['empty', 'unfinished', 'of another verb'])
def test_what_is_no_trained_student_is_refused(quantized, data, tmp_path, state):
    folder, found = tmp_path / 'student', 'none'
    if state == 'empty':
        folder.mkdir()
    elif state == 'unfinished':
        shutil.copytree(quantized, folder)
        (folder / 'manifest.json').rename(folder / 'in_progress.json')
        found = 'an unfinished one'
    else:
        folder, found = data, 'the output of something else'
    with pytest.raises(DatasetError, match=f'"edgevl distill", found {found}; give the folder'):
        export(folder, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_pairs_that_are_gone_or_others_are_refused(quantized, tmp_path):
    moved = tmp_path / 'far' / 'away' / 'student'
    shutil.copytree(quantized, moved)
    with pytest.raises(DatasetError, match='--data: expected the curated pairs that'):
        export(moved, tmp_path / 'out')
    other = make_data(tmp_path / 'others', train=6, validation=3, seed=1)
    with pytest.raises(DatasetError, match='was trained on, found others'):
        export(quantized, tmp_path / 'out', '--data', str(other))


def test_an_unknown_twin_is_refused(quantized, tmp_path):
    with pytest.raises(RecipeError, match='--twins'):
        export(quantized, tmp_path / 'out', '--twins', 'fp8')


def test_two_placements_that_differ_are_refused_though_each_is_near_to_the_network():
    graphs = {name: Exported(b'', torch.nn.Identity(), 'fake-quant') for name in INT8}
    near = {name: {RGB: np.full(4, 0.9995)} for name in INT8}
    check({**near, ' | '.join(INT8): {RGB: np.full(4, 0.9992)}}, graphs)
    with pytest.raises(TrainingError, match=r'student.cpu.onnx, rgb: 0.99800 to each other'):
        check({**near, ' | '.join(INT8): {RGB: np.full(4, 0.998)}}, graphs)
