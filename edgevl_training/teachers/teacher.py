# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every vision-language teacher gives, how it is found by name, and why it stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import math
import re
from typing import Any, Protocol

from edgevl_training.errors import TeacherError
from edgevl_training.prompts import fill
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

# The teacher of the paper.
DEFAULT_TEACHER = 'open_clip:ViT-g-14/laion2b_s34b_b88k'
DEVICES = ('auto', 'cpu', 'cuda')
PRECISIONS = ('auto', 'fp32', 'fp16', 'bf16')
FAMILIES = {
    'conse': 'conse (offline, every weight from a Python package)',
    'open_clip': 'open_clip:MODEL/TAG, open_clip:MODEL@FILE or open_clip:MODEL/TAG@FILE, such as '
    + DEFAULT_TEACHER,
}


class Teacher(Protocol):
    """
    Gives unit embeddings of images and phrases in one space of ``dim`` dimensions.

    ``id`` names the model and its very weights: equal ids mean equal embeddings, up to rounding.
    ``logit_scale`` multiplies cosines before a softmax over phrases.
    """

    id: str  # noqa: A003 (the field's own word)
    dim: int
    logit_scale: float

    def preprocess(self, rgb: NDArray[np.uint8]) -> FloatArray:
        """Turn colour, uint8 (H, W, 3), into the teacher's input, float32 (3, S, S)."""
        ...

    def embed_images(self, images: FloatArray) -> FloatArray:
        """Embed preprocessed images, float32 (B, 3, S, S), as unit rows, float32 (B, D)."""
        ...

    def embed_texts(
        self, phrases: Sequence[str], templates: Sequence[str] | None = None
    ) -> FloatArray:
        """
        Embed phrases as unit rows, float32 (N, D).

        :param templates: sentences with ``{}`` for the phrase, see `prompts`; the ones that this
            teacher likes best unless given. Their unit embeddings are averaged.
        """
        ...


@dataclass(frozen=True)
class TeacherChoice:
    """A teacher that is known to exist, before the long work of loading it."""

    # What finds it again; the id alone may not, as a checkpoint may lie anywhere.
    name: str
    id: str  # noqa: A003 (the field's own word)
    # cpu, cuda or cuda:N.
    device: str
    # fp32, fp16 or bf16.
    precision: str
    load: Callable[[], Teacher]


def choose_teacher(name: str, device: str = 'auto', precision: str = 'auto') -> TeacherChoice:
    """
    Find a teacher by name and settle where and how precisely it computes.

    :param name: one of `FAMILIES`, or the id of such a teacher.
    :param device: cpu, cuda, cuda:N, or auto for CUDA where there is one.
    :param precision: of the network; auto is half precision on CUDA, where a teacher has it.
        Rows are always scaled to length one in float32.
    :raises TeacherError: for an unknown name, listing the known ones.
    """
    # An id, as found in a manifest or a bundle, has a slash where a name has a colon.
    family, detail = [*re.split('[:/]', name, maxsplit=1), ''][:2]
    if family == 'conse':
        from edgevl_training.teachers.conse import choose
    elif family == 'open_clip':
        from edgevl_training.teachers.open_clip_teacher import choose
    else:
        known = '\n'.join(f'  {how}' for how in FAMILIES.values())
        raise TeacherError(f'teacher: expected one of\n{known}\nfound {name!r}')
    if precision not in PRECISIONS:
        raise TeacherError(
            f'precision: expected one of {", ".join(PRECISIONS)}, found {precision!r}'
        )
    return choose(detail, _settle_device(device), precision)


def open_teacher(name: str, device: str = 'auto', precision: str = 'auto') -> Teacher:
    """
    Find a teacher by name and load it; see `choose_teacher`.

    :raises TeacherError: when it is unknown or its weights cannot be had.
    """
    return choose_teacher(name, device, precision).load()


def reopen_teacher(name: str, teacher: Mapping[str, Any]) -> Teacher:
    """
    Load the teacher that embedded the pictures, for words that are compared with them.

    :param name: what `open_teacher` knows it by.
    :param teacher: its id, dim and logit_scale, as ``teach`` wrote them.
    :raises TeacherError: when the teacher of that name is another one.
    """
    opened = open_teacher(name)
    same = (opened.id, opened.dim) == (teacher['id'], teacher['dim']) and math.isclose(
        opened.logit_scale, teacher['logit_scale'], rel_tol=1e-4
    )
    if not same:
        wanted = {key: teacher[key] for key in ('id', 'dim', 'logit_scale')}
        found = {'id': opened.id, 'dim': opened.dim, 'logit_scale': opened.logit_scale}
        raise TeacherError(
            f'expected the teacher that embedded the pictures, {wanted}, to embed the words too, '
            f'found {found}; name it with --teacher, or run "edgevl teach" with this one'
        )
    return opened


def _settle_device(device: str) -> str:
    import torch

    if device == 'auto':
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    if device.startswith('cuda') and not torch.cuda.is_available():
        raise TeacherError(f'device: expected cpu, as PyTorch sees no CUDA here, found {device!r}')
    return device


def unit_rows(rows: FloatArray) -> FloatArray:
    """Scale every row of (N, D) to length one."""
    result: FloatArray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return result


def ensemble(
    phrases: Sequence[str], templates: Sequence[str], embed: Callable[[list[str]], FloatArray]
) -> FloatArray:
    """
    Average the unit embeddings of every phrase over the templates, as unit rows (N, D).

    :param embed: gives the unit rows of plain texts.
    :raises TeacherError: when there is no template, or one without a place for the phrase.
    """
    if not templates:
        raise TeacherError('templates: expected at least one, found none')
    rows = [embed([fill(template, phrase) for phrase in phrases]) for template in templates]
    return rows[0] if len(rows) == 1 else unit_rows(np.mean(rows, axis=0, dtype=np.float32))


def freeze(model: Any) -> Any:
    """
    Make a torch module one that no accident can train; give it back.

    Its weights become inference tensors, which PyTorch itself refuses to change or to give a
    gradient, and ``train()`` leaves it and every part of it in evaluation mode.
    """
    import torch

    model.eval()
    frozen: dict[int, Any] = {}
    with torch.inference_mode():
        for part in model.modules():
            for name, tensor in list(part.named_parameters('', False, False)):
                copy = torch.nn.Parameter(tensor.detach().clone(), requires_grad=False)
                setattr(part, name, frozen.setdefault(id(tensor), copy))
            for name, tensor in list(part.named_buffers('', False, False)):
                setattr(part, name, tensor.detach().clone())
            part.__dict__['train'] = _Stay(part)
    return model


class _Stay:
    """Takes the place of ``Module.train``, so that a teacher may be part of what is trained."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __call__(self, mode: bool = True) -> Any:  # noqa: ARG002 (torch's own signature)
        return self._part
