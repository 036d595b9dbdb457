# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints bring a run back exactly, and other files are refused."""
from __future__ import annotations

import copy
import resource

import pytest

torch = pytest.importorskip('torch', reason='torch is not installed')

from edgevl_training import checkpoint  # noqa: E402, I100
from edgevl_training.errors import TrainingError  # noqa: E402


def network(features=4):
    """Return a small network with buffers, and its optimizer."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, features, 3), torch.nn.BatchNorm2d(features))
    model.to(memory_format=torch.channels_last)
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def test_a_disk_that_is_full_is_told_as_other_files_tell_it(tmp_path):
    model, _ = network(64)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match='expected to write weights: .*'):
            checkpoint.save(tmp_path / 'c.safetensors', model, None, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def train(model, optimizer, steps):
    """Go some steps on images that depend on the step."""
    for step in steps:
        images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        model(images).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def same(one, other):
    """Tell whether two networks have the same weights and buffers, bit for bit."""
    return all(torch.equal(a, b) for a, b in zip(
        one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_run_goes_on_exactly_where_it_stopped(tmp_path):
    model, optimizer = network()
    train(model, optimizer, range(3))
    checkpoint.save(tmp_path / 'c', model, optimizer, {'epochs': [{'loss': 0.5}]})
    train(model, optimizer, range(3, 6))
    again, its_optimizer = network()
    state = checkpoint.load(tmp_path / 'c', again, its_optimizer)
    assert state == {'epochs': [{'loss': 0.5}]}
    assert not same(again, model)
    train(again, its_optimizer, range(3, 6))
    assert same(again, model)


def test_weights_alone(tmp_path):
    model, optimizer = network()
    train(model, optimizer, range(2))
    checkpoint.save(tmp_path / 'c', model, None, {})
    again, _ = network()
    assert checkpoint.load(tmp_path / 'c', again) == {}
    assert same(again, model)


def test_weights_that_layers_share_are_kept(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1].weight = model[0].weight
    checkpoint.save(tmp_path / 'c', model, None, {})
    other = copy.deepcopy(model)
    torch.nn.init.zeros_(other[0].weight)
    checkpoint.load(tmp_path / 'c', other)
    assert same(other, model)


def test_nothing_half_written_stays(tmp_path):
    model, optimizer = network()
    checkpoint.save(tmp_path / 'c', model, optimizer, {'epochs': 1})
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path / 'c', model, optimizer, {'epochs': object()})
    assert [path.name for path in tmp_path.iterdir()] == ['c']
    assert checkpoint.load(tmp_path / 'c', model) == {'epochs': 1}


def test_another_model_is_refused_with_a_remedy(tmp_path):
    model, optimizer = network(features=5)
    checkpoint.save(tmp_path / 'c', model, optimizer, {})
    with pytest.raises(TrainingError, match=r'(?s)c: expected .*size mismatch.*begin again'):
        checkpoint.load(tmp_path / 'c', *network())


@pytest.mark.parametrize('content', [b'', b'nonsense', b'\x02\0\0\0\0\0\0\0{}'])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / 'c').write_bytes(content)
    with pytest.raises(TrainingError, match='damaged'):
        checkpoint.load(tmp_path / 'c', *network())


def test_a_truncated_file_is_refused(tmp_path):
    model, optimizer = network()
    checkpoint.save(tmp_path / 'c', model, optimizer, {})
    (tmp_path / 'c').write_bytes((tmp_path / 'c').read_bytes()[:-5])
    with pytest.raises(TrainingError, match='damaged'):
        checkpoint.load(tmp_path / 'c', *network())
