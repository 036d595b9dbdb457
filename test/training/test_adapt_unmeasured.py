# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where no pair is held out nothing is measured, and nothing is made up."""
from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('pyarrow', reason='pyarrow is not installed')
pytest.importorskip('modelopt', reason='modelopt is not installed')

from edgevl_training import cli  # noqa: E402, I100
from support.adapting import from_images  # noqa: E402
from support.fixtures import PHRASE_LISTS  # noqa: E402


def test_a_bundle_without_held_out_pairs_says_so(adapted, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('edgevl_training.phrases.LISTS', PHRASE_LISTS)
    for name in ('pairs', 'taught'):
        shutil.copytree(adapted / 'bundle.work' / name, tmp_path / 'work' / name)
    words = [
        *from_images(adapted), 'curate.split=[0.8, 0.2, 0]', 'distill.epochs=1',
        'contrast.epochs=1', '--out', str(tmp_path / 'bundle'), '--work', str(tmp_path / 'work'),
    ]
    assert cli.main(['adapt', *words]) == 0
    told = capsys.readouterr()
    assert 'Nothing was measured, as no pair was held out' in told.err
    assert 'evaluate' not in told.out
    folders = {path.name for path in (tmp_path / 'work').iterdir() if path.is_dir()}
    assert folders == {'pairs', 'taught', 'curated', 'stage1', 'stage2', 'exported'}
    metrics = json.loads((tmp_path / 'bundle' / 'metrics.json').read_text())
    assert metrics['results'] is None
    assert metrics['why'] == 'no held-out pairs were evaluated'
    card = (tmp_path / 'bundle' / 'MODEL_CARD.md').read_text()
    assert 'Its accuracy was not measured: no held-out pairs were evaluated.' in card
