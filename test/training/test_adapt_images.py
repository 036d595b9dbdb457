# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One command goes from pictures to a bundle that the robot's own code opens and runs."""
from __future__ import annotations

import json

from edgevl_ros.backends import open_backend
from edgevl_ros.core.bundle import Bundle, check_golden
from edgevl_ros.core.frame import Frame, Modality
from edgevl_ros.core.perception import Perception
from edgevl_ros.core.settings import Settings
import numpy as np
import pytest

pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('pyarrow', reason='pyarrow is not installed')
pytest.importorskip('modelopt', reason='modelopt is not installed')

from edgevl_training import cli  # noqa: E402, I100
from support.adapting import from_images, PHRASES  # noqa: E402
from support.camera_bag import millimetres, picture  # noqa: E402

FOLDERS = {
    'curated', 'evaluated', 'exported', 'exported_fp32', 'exported_ptq', 'pairs', 'ptq', 'stage1',
    'stage2', 'taught',
}


@pytest.fixture(name='bundle')
def fixture_bundle(adapted):
    """Open the bundle as the node does."""
    return Bundle.open(adapted / 'bundle')


def times_of(folder):
    """Give when each file below a folder was written last."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()}


def test_the_robot_opens_the_bundle_and_its_golden_frames_hold(bundle):
    backend = open_backend('onnxruntime', bundle, threads=1)
    assert check_golden(bundle, backend) > 0.999
    perception = Perception(bundle, backend, Settings())
    metres = millimetres(1).astype(np.float32) / 1000
    metres[metres == 0] = np.nan
    for frame in (
        Frame(1, 'camera', picture(1), metres), Frame(2, 'camera', picture(1), None),
        Frame(3, 'camera', None, metres),
    ):
        scene = perception.perceive(frame)
        assert {hypothesis.label for hypothesis in scene.hypotheses} <= set(PHRASES)
        assert scene.modalities == frame.modalities


def test_every_verb_left_its_folder(adapted):
    work = adapted / 'bundle.work'
    assert {path.name for path in work.iterdir() if path.is_dir()} == FOLDERS
    assert all((work / name / 'manifest.json').is_file() for name in FOLDERS)
    # What any verb alone can be given.
    assert 'student: timm:test_vit' in (work / 'recipe.yaml').read_text()


def test_all_of_the_held_out_pairs_are_measured_with_every_model(adapted):
    metrics = json.loads((adapted / 'bundle' / 'metrics.json').read_text())
    assert set(metrics['results']) == {'teacher', 'fp32', 'ptq', 'int8'}
    curated = json.loads((adapted / 'bundle.work' / 'curated' / 'manifest.json').read_text())
    assert metrics['pairs'] == curated['counts']['splits']['test']['pairs'] > 0
    assert metrics['truth'] is True
    assert set(metrics['vocabulary']) == {'kitchen', 'office'}
    for result in metrics['results'].values():
        assert {'rgb', 'depth'} <= set(result['modalities'])
    card = (adapted / 'bundle' / 'MODEL_CARD.md').read_text()
    for name, result in metrics['results'].items():
        share = f'{100 * result["modalities"]["depth"]["top1"]:.1f} %'
        assert f'| {name} | depth | {share} |' in card
    assert (adapted / 'bundle.work' / 'evaluated' / 'report.html').is_file()


def test_the_bundle_knows_where_it_comes_from(adapted, bundle):
    manifest = json.loads((adapted / 'bundle' / 'manifest.json').read_text())
    lineage = manifest['lineage']
    assert [step['verb'] for step in lineage['verbs']] == [
        'contrast', 'distill', 'curate', 'teach', 'extract']
    assert [source['name'] for source in lineage['sources']] == ['images']
    assert all(len(source['fingerprint']) == 64 for source in lineage['sources'])
    assert bundle.fusion == {Modality.RGB: 1.0, Modality.DEPTH: 1.0}
    assert bundle.teacher == 'conse/tf_efficientnet_lite2+all-MiniLM-L6-v2'
    assert set(PHRASES) < set(bundle.phrases.index)
    assert 'annualcrop' in bundle.phrases.index
    assert str(adapted) not in (adapted / 'bundle' / 'MODEL_CARD.md').read_text()


def test_the_same_command_does_nothing_more(adapted, capsys):
    before = times_of(adapted)
    assert cli.main(['adapt', *from_images(adapted)]) == 0
    after = times_of(adapted)
    changed = {path.name for path in {*before, *after} if before.get(path) != after.get(path)}
    assert changed <= {'recipe.yaml'}
    told = capsys.readouterr().out
    assert told.count('finished earlier') == 11
    assert f'perception.launch.py bundle:={adapted / "bundle"}' in told
    assert 'int8' in told


def test_other_options_are_told_what_to_remove(adapted, capsys):
    before = times_of(adapted)
    assert cli.main(['adapt', *from_images(adapted), '--set', 'contrast.epochs=9']) == 2
    assert times_of(adapted) == before
    message = capsys.readouterr().err
    assert 'recipe.epochs: there 2, asked 9' in message
    advice = message.splitlines()[-1]
    work = adapted / 'bundle.work'
    for name in ('stage2', 'exported', 'evaluated'):
        assert f' {work / name} ' in advice
    assert 'ptq' not in advice
    assert 'stage1' not in advice
