# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What embeds test pairs: students as a robot runs them, and teachers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgevl_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from edgevl_ros.core.errors import BackendError
from edgevl_ros.core.preprocess import DepthSpec, PreprocessSpec
from edgevl_training.evaluation.pairs import Preparer, RGB, SECOND
from edgevl_training.evaluation.students import Student
from edgevl_training.teachers.teacher import Teacher
from edgevl_training.teaching.embedder import Embedder
import numpy as np
from numpy.typing import NDArray

# Pictures that a teacher takes at once.
_TEACHER_BATCH = 16
_BLACK = 0

FloatArray = NDArray[np.float32]


class Runner(Protocol):
    """
    A network that embeds prepared inputs.

    Runners of the same ``key`` prepare pictures alike, so that it is done once for all of them.
    """

    @property
    def name(self) -> str:
        """Give the name of the result."""

    @property
    def dim(self) -> int:
        """Give the number of dimensions of an embedding."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """List those that the network is run on."""

    @property
    def key(self) -> Any:
        """Tell how pictures are prepared; usable as a key."""

    def preparer(self) -> Preparer:
        """Give what prepares pictures."""

    def embed(self, inputs: Sequence[FloatArray]) -> FloatArray:
        """Embed inputs, each float32 (3, S, S), as unit rows (N, D)."""

    def known(self, part: slice) -> Mapping[str, FloatArray]:
        """Give embeddings of some of the test pairs, (N, D), that need no network."""


@dataclass(frozen=True)
class _BySpec:
    """Prepares pictures as the robot does, by a bundle's preprocess.yaml."""

    spec: PreprocessSpec

    def rgb(self, color: NDArray[np.uint8]) -> FloatArray:
        return self.spec.rgb_input(color)

    def second(self, values: FloatArray) -> FloatArray:
        return self.spec.depth_input(values)


@dataclass(frozen=True)
class _ByTeacher:
    """Prepares pictures as a teacher does; of the second modality it sees a grey photograph."""

    teacher: Teacher
    depth: DepthSpec

    def rgb(self, color: NDArray[np.uint8]) -> FloatArray:
        return self.teacher.preprocess(color)

    def second(self, values: FloatArray) -> FloatArray:
        return self.teacher.preprocess(as_photograph(values, self.depth))


def as_photograph(values: FloatArray, depth: DepthSpec) -> NDArray[np.uint8]:
    """
    Show a second picture, float32 (H, W) with NaN, to a network that knows photographs only.

    :param depth: its range becomes black to white; no reading is black.
    :returns: three equal channels, uint8 (H, W, 3).
    """
    share = (values - depth.near_m) / (depth.far_m - depth.near_m)
    grey = np.round(255 * np.nan_to_num(np.clip(share, 0, 1), nan=_BLACK)).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


class StudentRunner:
    """A student in the session of the robot, one picture at a time."""

    def __init__(self, student: Student, threads: int) -> None:
        """Open the session."""
        self.name, self.dim = student.name, student.dim
        self.modalities = (RGB, SECOND)
        self._student = student
        self.backend: OnnxRuntimeBackend = student.backend(threads)

    @property
    def key(self) -> Any:
        """Tell how pictures are prepared: by the spec."""
        return self._student.preprocess

    def preparer(self) -> Preparer:
        """Give what prepares pictures."""
        return _BySpec(self._student.preprocess)

    def embed(self, inputs: Sequence[FloatArray]) -> FloatArray:
        """
        Embed inputs, each float32 (3, S, S), as unit rows (N, D).

        :raises BackendError: naming the model that fails or gives no unit rows.
        """
        try:
            rows = [self.backend.embed(one[np.newaxis]) for one in inputs]
        except BackendError as error:
            raise BackendError(
                f'--models {self.name}={self._student.path}: {self._student.graph.name}: {error}'
            ) from error
        return np.concatenate([np.empty((0, self.dim), np.float32), *rows])

    def known(self, part: slice) -> Mapping[str, FloatArray]:  # noqa: ARG002 (the protocol's own)
        """Give nothing: a student is always run."""
        return {}


class TeacherRunner:
    """A teacher, run on what ``teach`` has not embedded already."""

    def __init__(
        self, name: str, teacher: Teacher, depth: DepthSpec,
        colors: Callable[[slice], FloatArray] | None = None,
    ) -> None:
        """
        Name the teacher.

        :param depth: the range of the second modality that becomes black to white.
        :param colors: gives its embeddings of the colour pictures of some pairs, if known.
        """
        self.name, self.dim = name, teacher.dim
        self.modalities: tuple[str, ...] = (RGB, SECOND) if colors is None else (SECOND,)
        self._teacher, self._depth, self._colors = teacher, depth, colors
        self._embedder = Embedder(teacher, _TEACHER_BATCH)

    @property
    def key(self) -> Any:
        """Tell how pictures are prepared: by this teacher."""
        return self._teacher.id

    def preparer(self) -> Preparer:
        """Give what prepares pictures."""
        return _ByTeacher(self._teacher, self._depth)

    def embed(self, inputs: Sequence[FloatArray]) -> FloatArray:
        """Embed inputs, each float32 (3, S, S), as unit rows (N, D)."""
        if not inputs:
            return np.empty((0, self.dim), np.float32)
        return self._embedder.embed(np.stack(list(inputs)))

    def known(self, part: slice) -> Mapping[str, FloatArray]:
        """Give the embeddings of colour that ``teach`` has made."""
        return {} if self._colors is None else {RGB: self._colors(part)}


class TaughtRunner:
    """A teacher that only ``teach`` has run, on colour."""

    modalities: tuple[str, ...] = ()
    key: Any = None

    def __init__(self, name: str, dim: int, colors: Callable[[slice], FloatArray]) -> None:
        """Name the teacher; see `TeacherRunner`."""
        self.name, self.dim, self._colors = name, dim, colors

    def preparer(self) -> Preparer:
        """Refuse: nothing is run."""
        raise NotImplementedError

    def embed(self, inputs: Sequence[FloatArray]) -> FloatArray:
        """Refuse: nothing is run."""
        raise NotImplementedError

    def known(self, part: slice) -> Mapping[str, FloatArray]:
        """Give the embeddings of colour that ``teach`` has made."""
        return {RGB: self._colors(part)}
