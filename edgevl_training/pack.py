# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write a bundle: the folder that carries a student and its words to a robot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import hashlib
import io
import json
from pathlib import Path
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray
import onnx

# Smaller tensors stay in the file that uses them: a reference would hardly be shorter.
SHARED_FROM_BYTES = 1024


@dataclass(frozen=True)
class Words:
    """Labels with unit embeddings, float (K, D), as `Vocabulary` and `PhraseBank` read them."""

    labels: tuple[str, ...]
    embeddings: NDArray[np.floating]
    logit_scale: float
    teacher: str

    def arrays(self, labels_name: str, dtype: type[np.floating]) -> dict[str, NDArray[Any]]:
        """Give the arrays of ``vocabulary.npz`` or ``phrases.npz``."""
        return {
            labels_name: np.array(self.labels),
            'embeddings': self.embeddings.astype(dtype),
            'logit_scale': np.array(self.logit_scale, np.float32),
            'teacher': np.array(self.teacher),
        }


def write_bundle(
    folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any], force: bool = False
) -> None:
    """
    Write a bundle all at once or not at all.

    The files are completed under a temporary name beside ``folder``, which is renamed at the end.

    :param files: content by plain file name; ``manifest.json`` is made here.
    :param manifest: every key but ``files``.
    :param force: replace a folder that exists.
    :raises FileExistsError: when the folder exists and ``force`` is not set.
    """
    if folder.exists() and not force:
        raise FileExistsError(f'{folder}: expected no such folder; use --force to replace it')
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{folder.name}-', dir=folder.parent) as scratch:
        fresh = Path(scratch, 'fresh')
        fresh.mkdir()
        listed = {}
        for name, content in sorted(files.items()):
            (fresh / name).write_bytes(content)
            listed[name] = {'sha256': sha256(content), 'bytes': len(content)}
        text = json.dumps({**manifest, 'files': listed}, indent=2) + '\n'
        (fresh / 'manifest.json').write_text(text, encoding='utf-8')
        old = Path(scratch, 'old')
        try:
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
        finally:
            if old.exists() and not folder.exists():
                old.rename(folder)


def sha256(content: bytes) -> str:
    """Compute the SHA-256 of bytes as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """
    Pack arrays as a compressed ``.npz`` without pickle; equal arrays give equal bytes.

    :raises TypeError: when an array holds Python objects.
    """
    if any(array.dtype.hasobject for array in arrays.values()):
        raise TypeError('expected arrays of numbers or text, found objects')
    stream = io.BytesIO()
    np.savez_compressed(stream, **dict[str, Any](arrays))
    return stream.getvalue()


def refer_to_weights(model: onnx.ModelProto, holder: str, content: bytes) -> onnx.ModelProto:
    """
    Let a graph read its weights out of another graph's file in the same folder.

    Both placements of a student hold the same INT8 weights, which are nearly all of their size.
    ONNX's external data names a file, an offset and a length; here the file is the other graph.
    The hash of that file is kept in the metadata, so a cache keyed by this graph notices any
    change of the weights too.

    :param holder: file name of the other graph; ``content`` is what that file holds.
    :raises ValueError: when a large INT8 tensor is not in it.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for tensor in result.graph.initializer:
        if tensor.data_type != onnx.TensorProto.INT8 or len(tensor.raw_data) < SHARED_FROM_BYTES:
            continue
        offset = content.find(tensor.raw_data)
        if offset < 0:
            raise ValueError(f'{tensor.name}: expected its values in {holder}, found none there')
        place = {'location': holder, 'offset': offset, 'length': len(tensor.raw_data)}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField('raw_data')
    result.metadata_props.add(key=f'sha256 of {holder}', value=sha256(content))
    return result
