# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One command goes from a bag to a bundle, also when it is killed on the way."""
from __future__ import annotations

import json

from edgevl_ros.core.bundle import Bundle
import pytest

pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('pyarrow', reason='pyarrow is not installed')
pytest.importorskip('modelopt', reason='modelopt is not installed')
pytest.importorskip('rosbags', reason='rosbags is not installed')

from edgevl_training import cli  # noqa: E402, I100
from support.adapting import command, from_bag, PHRASES  # noqa: E402
from support.distilling import kill_when  # noqa: E402
from support.fixtures import PHRASE_LISTS  # noqa: E402


def test_a_killed_command_goes_on_to_a_bundle(tmp_path, monkeypatch, capsys):
    """And without labels, agreement with the teacher is measured, and said to be just that."""
    monkeypatch.setattr('edgevl_training.phrases.LISTS', PHRASE_LISTS)
    work = tmp_path / 'bundle.work'
    kill_when(command(*from_bag(tmp_path)), (work / 'stage1' / 'checkpoint.safetensors').is_file)
    assert not (work / 'stage1' / 'manifest.json').exists()
    kept = work / 'curated' / 'manifest.json'
    written_ns = kept.stat().st_mtime_ns
    assert cli.main(['adapt', *from_bag(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert told.count('finished earlier') == 3
    assert kept.stat().st_mtime_ns == written_ns
    bundle = Bundle.open(tmp_path / 'bundle')
    assert set(bundle.vocabulary.labels) <= set(PHRASES)
    metrics = json.loads((tmp_path / 'bundle' / 'metrics.json').read_text())
    assert metrics['truth'] is False
    assert set(metrics['vocabulary']) <= set(PHRASES)
    assert 'not accuracy' in (tmp_path / 'bundle' / 'MODEL_CARD.md').read_text()
