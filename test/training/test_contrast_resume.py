# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage 2 survives kill -9, and goes to the same weights in one process and in two."""
from __future__ import annotations

import sys

from edgevl_ros.core.files import sha256_of
import pytest

pytest.importorskip('accelerate', reason='accelerate is not installed')
pytest.importorskip('torch', reason='torch is not installed')
pytest.importorskip('timm', reason='timm is not installed')
pytest.importorskip('modelopt', reason='nvidia-modelopt is not installed')

from support.contrasting import command, make_data, make_stage1  # noqa: E402, I100
from support.distilling import finish, kill_after_an_epoch, metrics_of  # noqa: E402

# The paper's. Larger steps would make much of a last digit that turned a rounding.
OPTIONS = ('--learning-rate', '1e-6', '--bootstrap', '1')


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Give a small curated data set and a student of stage 1."""
    data = make_data(tmp_path_factory.mktemp('data') / 'curated')
    return data, make_stage1(data, tmp_path_factory.mktemp('stage1') / 'out')


@pytest.fixture(scope='module')
def unbroken(folders, tmp_path_factory):
    """Give the output of a run in one process that nothing disturbed."""
    out = tmp_path_factory.mktemp('unbroken') / 'out'
    finish(command(*folders, out, *OPTIONS))
    return out


def test_a_killed_run_goes_on_to_the_weights_of_an_unbroken_one(folders, unbroken, tmp_path):
    out = tmp_path / 'out'
    told = kill_after_an_epoch(command(*folders, out, *OPTIONS), out)
    assert 0 < len(told) < len(metrics_of(unbroken))
    assert not (out / 'manifest.json').exists()
    finish(command(*folders, out, *OPTIONS))
    assert sha256_of(out / 'student.safetensors') == sha256_of(unbroken / 'student.safetensors')
    assert metrics_of(out) == metrics_of(unbroken)
    # The seconds an epoch took tell that it was not trained again.
    assert (out / 'metrics.jsonl').read_text().splitlines()[:len(told)] == told


# Two processes, each with every second pair of a batch, print how far their gradients are from
# those of one process. The mean over processes is what DistributedDataParallel takes.
GRADIENTS = """
import torch
from torch import distributed
from edgevl_ros.core.frame import Modality
from edgevl_training.contrast_training import Objective
from edgevl_training.training_measures import Features

torch.manual_seed(0)
rows = torch.nn.functional.normalize(torch.randn(24, 6), dim=1)
labels, has_depth = torch.arange(12) % 3, torch.arange(12) != 3

def gradients(objective, part):
    rgb = rows[:12][part].clone().requires_grad_()
    depth = rows[12:][part][has_depth[part]].clone().requires_grad_()
    terms = objective(Features(rgb, depth, rows[:12][part], labels[part], has_depth[part], 1.0))
    loss = sum(objective.weights[name] * value for name, value in terms.items())
    loss.backward()
    full = torch.zeros(len(rgb), 6).index_put((has_depth[part],), depth.grad)
    return loss.item(), torch.cat([rgb.grad, full], 1)

objectives = [
    Objective((Modality.RGB, Modality.DEPTH), True, 0.0, mining) for mining in ('intra', 'cross')]
alone = [gradients(objective, slice(None)) for objective in objectives]
distributed.init_process_group('gloo')
rank = distributed.get_rank()
for objective, (loss, wanted) in zip(objectives, alone):
    same, found = gradients(objective, slice(rank, None, 2))
    assert abs(loss - same) < 1e-6 < abs(loss)
    assert torch.allclose(found / 2, wanted[rank::2], atol=1e-6), found / 2 - wanted[rank::2]
    assert wanted.abs().max() > 0.01
distributed.destroy_process_group()
"""


def test_two_processes_have_the_gradients_of_one(tmp_path):
    script = tmp_path / 'gradients.py'
    script.write_text(GRADIENTS)
    finish([
        sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2',
        str(script)])


def test_two_processes_give_the_loss_curve_of_one(folders, unbroken, tmp_path):
    """
    Mine in the whole batch, whichever process has which pair; one pair has no depth.

    A last digit can turn a rounding, and so which triplets are found: hence the tolerance, the
    paper's small learning rate, and losses rather than counts.
    """
    finish(command(*folders, tmp_path / 'two', *OPTIONS, processes=2))
    for alone, together in zip(
        metrics_of(unbroken), metrics_of(tmp_path / 'two'), strict=True
    ):
        assert losses_of(together) == pytest.approx(losses_of(alone), rel=2e-2)


def losses_of(metrics):
    names = [name for name in metrics if name.startswith(('train_', 'validation_', 'cosine_'))]
    losses = {name: metrics[name] for name in names if 'share' not in name}
    assert {'train_loss', 'train_triplet_rgb', 'validation_depth'} <= set(losses), set(metrics)
    return losses
