# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two placements of a student, one set of weights on disk."""

from __future__ import annotations

from edgevl_training.exporting.separate import PART
from edgevl_training.packing.files import sha256
import onnx

# Smaller tensors stay in the file that uses them: a reference would hardly be shorter.
SHARED_FROM_BYTES = 1024


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
        small = len(tensor.raw_data) < SHARED_FROM_BYTES
        # A part of the columns of a weight lies nowhere in one piece.
        if tensor.data_type != onnx.TensorProto.INT8 or small or PART in tensor.name:
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
