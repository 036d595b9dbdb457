# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What decides a TensorRT engine: the graph, the choices made for it, and the GPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass
import hashlib
import json
from pathlib import Path
import re

from edgevl_ros.core.bundle import Bundle
from edgevl_ros.core.errors import BackendError, FileNameError
from edgevl_ros.core.files import file_inside, sha256_of
from edgevl_ros.core.onnx_files import external_files

# Of each backend: the key of its graph in the bundle's manifest, and what it mostly computes in.
PRECISIONS = {'tensorrt': 'int8', 'tensorrt-fp16': 'fp16'}
MAX_BATCH = 4
# More than these students ask for, and little enough for a Jetson beside the rest of a robot.
WORKSPACE_BYTES = 512 << 20


class BuildCancelled(BackendError):
    """The build of an engine was told to stop before it was done."""


@dataclass(frozen=True)
class Target:
    """
    The GPU that an engine is for.

    ``gpu`` is its name, empty for any of that compute capability, which only TensorRT for RTX
    can build for. GPUs of one name differ in size: every module of a Jetson Orin is called Orin,
    so the number of multiprocessors and the bytes of memory belong to it.
    """

    capability: tuple[int, int]
    gpu: str = ''
    multiprocessors: int = 0
    memory_bytes: int = 0

    @classmethod
    def parse(cls, text: str) -> Target:
        """
        Read a compute capability such as ``sm86`` or ``8.6``.

        :raises BackendError: when it is none.
        """
        match = re.fullmatch(r'(?:sm_?)?(\d{1,2})\.?(\d)', text.strip().lower())
        if match is None:
            raise BackendError(f'expected a compute capability such as sm86, found {text!r}')
        return cls((int(match[1]), int(match[2])))

    def __str__(self) -> str:
        """Name it for people."""
        return f'{self.gpu or "any GPU"} (sm{self.capability[0]}{self.capability[1]})'


@dataclass(frozen=True)
class EngineRecipe:
    """
    The choices that an engine is built with.

    ``precision`` is int8, fp16 or fp32, and must be the graph's; ``usual_batch`` is the number of
    images to be fastest for.
    """

    precision: str
    input_name: str
    input_size: int
    usual_batch: int = 1
    max_batch: int = MAX_BATCH
    workspace_bytes: int = WORKSPACE_BYTES

    @classmethod
    def of(cls, bundle: Bundle, backend: str) -> EngineRecipe:
        """Choose for a bundle: as many images at once as a whole frame has that count."""
        count = sum(weight > 0 for weight in bundle.fusion.values())
        return cls(PRECISIONS[backend], 'image', bundle.preprocess.input_size, max(1, count))


@dataclass(frozen=True)
class EngineKey:
    """
    All that an engine depends on; another key is another engine.

    ``memory_bytes`` is the GPU's memory rounded up to a power of two: `Engines` tells why.
    """

    onnx_sha256: str
    library: str
    version: str
    gpu: str
    capability: str
    multiprocessors: int
    memory_bytes: int
    recipe: EngineRecipe

    @property
    def digest(self) -> str:
        """Give the key as hexadecimal digits, a good file name."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class OnnxGraph:
    """An ONNX graph; ``sha256`` is that of the file and of those that hold its weights."""

    path: Path
    model: bytes
    sha256: str

    @classmethod
    def read(cls, path: Path) -> OnnxGraph:
        """
        Read a graph.

        :raises BackendError: when it cannot be read, or its weights lie outside its folder.
        """
        try:
            model = path.read_bytes()
            digest = hashlib.sha256(model)
            for name in sorted(external_files(model)):
                # Its hash stands for the file, so that no order or length can be mistaken.
                digest.update(sha256_of(file_inside(path.parent, name)).encode())
        except (OSError, ValueError, FileNameError) as error:
            raise BackendError(
                f'{path}: expected a readable ONNX graph, found {error}; export the bundle again'
            ) from error
        return cls(path, model, digest.hexdigest())
