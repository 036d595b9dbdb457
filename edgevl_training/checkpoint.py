# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a training run: one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgevl_training.errors import TrainingError
from edgevl_training.students.weights import write_tensors
from safetensors import safe_open, SafetensorError
import torch
from torch import nn

_MODEL, _OPTIMIZER = 'model.', 'optimizer.'


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None, state: dict[str, Any]
) -> None:
    """
    Write weights, the optimizer's moments where one is given, and the state of the run.

    :param state: JSON values, such as the epochs that are done.
    """
    tensors = {f'{_MODEL}{name}': tensor for name, tensor in model.state_dict().items()}
    if optimizer is not None:
        for index, moments in optimizer.state_dict()['state'].items():
            tensors.update({
                f'{_OPTIMIZER}{index}.{name}': torch.as_tensor(value)
                for name, value in moments.items()
            })
    # Weights that two layers share are written twice: safetensors knows no references.
    owned = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
             for name, tensor in tensors.items()}
    write_tensors(path, owned, {'state': json.dumps(state)})


def load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> dict[str, Any]:
    """
    Read weights, and moments where an optimizer is given; give the state of the run.

    :raises TrainingError: when the file is damaged or of another model.
    """
    try:
        with safe_open(path, framework='pt') as file:
            state = json.loads((file.metadata() or {})['state'])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model.load_state_dict(_below(tensors, _MODEL))
        if optimizer is not None:
            moments = _by_index(_below(tensors, _OPTIMIZER))
            optimizer.load_state_dict({**optimizer.state_dict(), 'state': moments})
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f'{path}: expected a checkpoint of this student, found another or a damaged one '
            f'({" ".join(str(error).split())[:300]}); remove the output folder and begin again'
        ) from error
    return state


def _by_index(tensors: dict[str, torch.Tensor]) -> dict[int, dict[str, torch.Tensor]]:
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition('.')
        moments.setdefault(int(index), {})[key] = tensor
    return moments


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items() if name.startswith(prefix)
    }
