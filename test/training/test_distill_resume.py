# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training survives kill -9, and goes to the same weights in one process and in two."""
from __future__ import annotations

from edgevl_ros.core.files import sha256_of
import pytest

pytest.importorskip('accelerate', reason='accelerate is not installed')
pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('timm', reason='timm is not installed')

from support.distilling import (  # noqa: E402, I100
    command,
    finish,
    kill_after_an_epoch,
    make_data,
    metrics_of,
)

# Enough that a kill after the first one is never too late.
EPOCHS = ('--epochs', '8')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Give a small curated data set."""
    return make_data(tmp_path_factory.mktemp('data') / 'curated')


@pytest.fixture(scope='module')
def unbroken(data, tmp_path_factory):
    """Give the output of a run in one process that nothing disturbed."""
    out = tmp_path_factory.mktemp('unbroken') / 'out'
    finish(command(data, out, *EPOCHS))
    return out


def test_a_killed_run_goes_on_to_the_weights_of_an_unbroken_one(data, unbroken, tmp_path):
    out = tmp_path / 'out'
    told = kill_after_an_epoch(command(data, out, *EPOCHS), out)
    assert 0 < len(told) < len(metrics_of(unbroken))
    assert not (out / 'manifest.json').exists()
    # What a run leaves that is killed while it writes.
    (out / 'checkpoint.safetensors.partial').write_bytes(b'half')
    (out / 'metrics.jsonl').write_text('')
    finish(command(data, out, *EPOCHS))
    assert sha256_of(out / 'student.safetensors') == sha256_of(unbroken / 'student.safetensors')
    assert metrics_of(out) == metrics_of(unbroken)
    # The seconds an epoch took tell that it was not trained again.
    assert (out / 'metrics.jsonl').read_text().splitlines()[:len(told)] == told
    assert not list(out.glob('*.partial'))
    assert not (out / 'checkpoint.safetensors').exists()
    assert len(list((out / 'tensorboard').iterdir())) == 1


def test_two_processes_give_the_loss_curve_of_one(data, unbroken, tmp_path):
    finish(command(data, tmp_path / 'out', *EPOCHS, processes=2))
    for alone, together in zip(metrics_of(unbroken), metrics_of(tmp_path / 'out'), strict=True):
        assert together == pytest.approx(alone, rel=1e-3)
