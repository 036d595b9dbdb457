# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The processes that torchrun or accelerate started, or the only one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from edgevl_training.errors import TrainingError
from edgevl_training.memory import keep_freed_memory
import torch

Precision = Literal['no', 'fp16', 'bf16']


@contextmanager
def joined_processes(
    device: str = 'auto', precision: Precision = 'no', accumulate: int = 1
) -> Iterator[Accelerator]:
    """
    Join the processes that torchrun or accelerate started, or train alone, for a ``with``.

    :param device: auto, cpu or cuda; auto takes a GPU where there is one.
    :raises TrainingError: when there is no GPU although it was asked for, by name or by precision.
    """
    cuda = torch.cuda.is_available() and device != 'cpu'
    if device == 'cuda' and not cuda:
        raise TrainingError('--device cuda: expected a CUDA GPU, found none')
    if precision != 'no' and not cuda:
        raise TrainingError(f'--precision {precision}: expected a CUDA GPU, found none; give no')
    keep_freed_memory()
    accelerator = Accelerator(
        cpu=not cuda, mixed_precision=precision, gradient_accumulation_steps=accumulate
    )
    try:
        yield accelerator
    finally:
        accelerator.end_training()
        # Accelerate keeps one state a process; the next stage may want another.
        AcceleratorState._reset_state(reset_partial_state=True)


def told(value: Any) -> Any:
    """
    Give every process what the first one gives.

    :raises TrainingError: when the first one has ended.
    """
    try:
        return broadcast_object_list([value])[0]
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            'another process of this run has ended or cannot be reached; see what it said'
        ) from error
