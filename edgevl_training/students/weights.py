# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Weight files: read without running anything they hold, and loaded whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgevl_ros.core.errors import EdgeVLError
from edgevl_training.output import atomic
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
import torch
from torch import nn

PICKLED = ('.pth', '.pt', '.bin')
# Where training scripts put the weights when they save more than these.
_WRAPPERS = ('model', 'state_dict')
_SHOWN = 4


class StudentError(EdgeVLError):
    """A student or its weights cannot be had; the message says what to do."""


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """
    Read the tensors of a ``.safetensors`` file, or of a ``.pth``, ``.pt`` or ``.bin`` of PyTorch.

    :raises StudentError: when the file is missing, damaged, or holds anything but tensors.
    """
    if not path.is_file():
        raise StudentError(f'{path}: expected a file with weights, found none')
    if path.suffix == '.safetensors':
        try:
            return load_file(path)
        except SafetensorError as error:
            raise StudentError(f'{path}: cannot be read as safetensors: {error}') from error
    if path.suffix not in PICKLED:
        raise StudentError(
            f"{path}: expected the suffix .safetensors or one of {', '.join(PICKLED)}, "
            f'found {path.suffix!r}'
        )
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # noqa: B902 - damaged bytes trip the unpickler in any way
        reason = str(error).partition('\n')[0]
        raise StudentError(
            f'{path}: cannot be read as tensors alone, and nothing else is loaded: {reason}'
        ) from error
    return _unwrapped(path, content)


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """
    Write a ``.safetensors`` file whole or not at all.

    :raises OSError: when it cannot be written, as on a full disk.
    """
    with atomic(path) as temporary:
        try:
            save_file(dict(tensors), temporary, dict(metadata))
        except SafetensorError as error:
            # That is how safetensors tells of a full disk.
            raise OSError(f'{path}: expected to write weights: {error}') from error


def _unwrapped(path: Path, content: object) -> dict[str, torch.Tensor]:
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        raise StudentError(f'{path}: expected tensors by name, found {type(content).__name__}')
    others = [str(name) for name, value in content.items() if not torch.is_tensor(value)]
    if others:
        raise StudentError(f'{path}: expected tensors by name, also found {_listed(others)}')
    return dict(content)


def load_strictly(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], source: object, what: str
) -> None:
    """
    Put tensors into a module, all or none.

    :param source: where the tensors come from, for the message.
    :param what: what they should be the weights of, for the message.
    :raises StudentError: listing tensors that are missing, unexpected or of another shape.
    """
    own = module.state_dict()
    problems = []
    if missing := [name for name in own if name not in tensors]:
        problems.append(f'missing: {_listed(missing)}')
    if unexpected := [name for name in tensors if name not in own]:
        problems.append(f'unexpected: {_listed(unexpected)}')
    misshaped = [
        f'{name} (expected {tuple(own[name].shape)}, found {tuple(value.shape)})'
        for name, value in tensors.items()
        if name in own and own[name].shape != value.shape
    ]
    if misshaped:
        problems.append(f'of another shape: {_listed(misshaped)}')
    if problems:
        raise StudentError(f"{source}: not the weights of {what}; {'; '.join(problems)}")
    module.load_state_dict(dict(tensors))


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ', '.join(names[:_SHOWN]) + (f' and {rest} more' if rest > 0 else '')
