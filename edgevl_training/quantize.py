# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
INT8 for two runtimes from one set of scales: where QuantizeLinear and DequantizeLinear go.

Both placements start from the same float graph and the same symmetric scales, so both compute the
same network. They differ only in what each runtime asks for:

- TensorRT: int8 activations with zero point 0, float bias, nothing on the output of a convolution
  that is added to a shortcut (it fuses the sum into the convolution).
- ONNX Runtime on a CPU: uint8 activations, int32 bias, and a pair around every operator. uint8
  with zero point 128 holds the same numbers as int8 with zero point 0. An activation such as
  ReLU6 would break the pattern that ONNX Runtime fuses, so it becomes a Clip of the rounded
  numbers, which is the same: rounding keeps the order. A matrix product of rounded numbers may
  give float ones (`MatMulIntegerToFloat`); a convolution may not, so one whose output is not
  rounded is computed in float, from the rounded weight.

Weights are int8, symmetric, one scale for each output channel. Weights that go through matrix
multiplication use seven of the eight bits: CPUs with AVX2 or AVX-512 but without VNNI add two
uint8 x int8 products in 16 bits, which overflows from 255 * 127 * 2 but never from 255 * 63 * 2
(ONNX Runtime calls this `reduce_range`). Depthwise convolutions do not use that instruction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
import onnx
from onnx import helper, numpy_helper

ACTIVATION_LEVELS = 127
DEPTHWISE_LEVELS = 127
MATRIX_LEVELS = 63
UINT8_ZERO_POINT = 128
_MOVES = ('Reshape', 'Transpose')


def weight_levels(depthwise: bool) -> int:
    """Give the largest INT8 weight: see the module's notes on CPUs without VNNI."""
    return DEPTHWISE_LEVELS if depthwise else MATRIX_LEVELS


def activation_scale(counts: NDArray[np.floating], largest: float) -> float:
    """
    Find the symmetric INT8 scale with the least mean squared error.

    Clipping a rare large value buys finer steps for all others (Sung et al., 2015; the 'mse'
    range setting of Nagel et al., "A White Paper on Neural Network Quantization", 2021).

    :param counts: histogram of the absolute values over equal bins from 0 to ``largest``.
    """
    if largest <= 0:
        raise ValueError(f'expected a tensor that is not all zero, found at most {largest}')
    values = (np.arange(len(counts)) + 0.5) * largest / len(counts)
    candidates = np.linspace(0.3, 1, 71) * largest / ACTIVATION_LEVELS
    errors = [
        float(np.sum(counts * (_rounded(values, scale) - values) ** 2)) for scale in candidates
    ]
    return float(candidates[int(np.argmin(errors))])


def _rounded(values: NDArray[np.floating], scale: float) -> NDArray[np.floating]:
    return np.clip(np.round(values / scale), -ACTIVATION_LEVELS - 1, ACTIVATION_LEVELS) * scale


@dataclass(frozen=True)
class Scales:
    """
    The numbers that make a float graph INT8.

    ``activations`` maps a tensor's name in the float graph to its scale; ``weights`` maps an
    initializer's name to its scales, one for each output channel, and ``levels`` to its largest
    stored value. A weight whose input has no scale is stored as INT8 and multiplied in float.
    The output of an Identity may have a scale: then only those after it read rounded numbers.
    """

    activations: Mapping[str, float]
    weights: Mapping[str, NDArray[np.float32]]
    levels: Mapping[str, int]


def for_tensorrt(model: onnx.ModelProto, scales: Scales) -> onnx.ModelProto:
    """Place Q/DQ as TensorRT wants it; the model is not changed."""
    return _Placement(model, scales, tensorrt=True).build()


def for_onnxruntime(model: onnx.ModelProto, scales: Scales) -> onnx.ModelProto:
    """Place Q/DQ as ONNX Runtime's CPU kernels want it; the model is not changed."""
    return _Placement(model, scales, tensorrt=False).build()


class _Placement:
    """One walk over the float graph, in its order, that writes the quantized graph."""

    def __init__(self, model: onnx.ModelProto, scales: Scales, tensorrt: bool) -> None:
        self._model, self._scales, self._tensorrt = model, scales, tensorrt
        self._floats = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
        }
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._renamed: dict[str, str] = {}
        self._moved: dict[str, str] = {}
        self._read: set[str] = set()
        self._consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)
        missing = set(scales.activations) - self._tensor_names()
        if missing:
            raise ValueError(f'scales: expected tensors of the graph, found {sorted(missing)}')

    def build(self) -> onnx.ModelProto:
        graph = self._model.graph
        for value in graph.input:
            if value.name in self._scales.activations:
                self._store(value.name, value.name)
        for node in graph.node:
            most = self._folded_clip(node)
            if most is not None or self._is_only_rounded(node):
                source = self._renamed.get(node.input[0], node.input[0])
                self._store(source, node.output[0], clipped_at=most)
            elif node.op_type in _MOVES and self._weight_behind(node.input[0]):
                self._move_weight(node)
            else:
                self._copy(node)
        result = onnx.ModelProto()
        result.CopyFrom(self._model)
        del result.graph.node[:], result.graph.initializer[:]
        result.graph.node.extend(self._nodes)
        result.graph.initializer.extend(self._initializers.values())
        onnx.checker.check_model(result, full_check=True)
        return result

    def _tensor_names(self) -> set[str]:
        graph = self._model.graph
        return {value.name for value in graph.input} | {
            name for node in graph.node for name in node.output
        }

    def _folded_clip(self, node: onnx.NodeProto) -> float | None:
        """Give the upper end of a ReLU or Clip that ONNX Runtime applies to rounded numbers."""
        scale = self._scales.activations.get(node.output[0])
        if scale is None or self._tensorrt or node.op_type not in ('Clip', 'Relu'):
            return None
        least, most = 0.0, np.inf
        if node.op_type == 'Clip':
            bounds = [self._floats.get(name) for name in (*node.input[1:], '', '')[:2]]
            least, most = (-np.inf if bound is None else float(bound) for bound in bounds)
        return float(most) if least == 0 else None

    def _copy(self, node: onnx.NodeProto) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.input[:]
        for index, name in enumerate(node.input):
            if self._weight_behind(name):
                copy.input.append(self._weight(name, node))
            elif name in self._floats and index == 2 and self._has_integer_bias(node):
                copy.input.append(self._integer_bias(name, node))
            elif name in self._floats:
                copy.input.append(self._float(name))
            else:
                copy.input.append(self._renamed.get(name, name))
        self._nodes.append(copy)
        output = node.output[0]
        if output in self._scales.activations and not self._is_fused_into_sum(node):
            self._store(output, output)

    def _is_fused_into_sum(self, node: onnx.NodeProto) -> bool:
        """Tell whether TensorRT adds this convolution's output to a shortcut in its kernel."""
        users = self._consumers.get(node.output[0], [])
        only_sum = len(users) == 1 and users[0].op_type == 'Add'
        return self._tensorrt and node.op_type == 'Conv' and only_sum

    def _is_only_rounded(self, node: onnx.NodeProto) -> bool:
        """Tell whether a node stands for rounding that only some of a tensor's users want."""
        return node.op_type == 'Identity' and node.output[0] in self._scales.activations

    def _has_integer_bias(self, node: onnx.NodeProto) -> bool:
        """Tell whether ONNX Runtime has an integer kernel for this node."""
        if self._tensorrt or node.input[0] not in self._renamed:
            return False
        return node.op_type == 'Gemm' or (node.op_type == 'Conv' and self._gives_integers(node))

    def _gives_integers(self, conv: onnx.NodeProto) -> bool:
        """Tell whether a convolution's output is stored, perhaps after its activation."""
        if conv.output[0] in self._scales.activations:
            return True
        users = self._consumers.get(conv.output[0], [])
        return len(users) == 1 and self._folded_clip(users[0]) is not None

    def _store(self, source: str, tensor: str, clipped_at: float | None = None) -> None:
        """
        Round ``source`` to the scale of ``tensor``; later nodes then read the rounded one.

        :param clipped_at: upper end of a Clip from zero on, which may be infinite.
        """
        scale = self._add(f'{tensor}.scale', np.float32(self._scales.activations[tensor]))
        zero_point = self._add(*self._zero_point())
        stored = f'{tensor}.int8' if self._tensorrt else f'{tensor}.uint8'
        rounded = stored if clipped_at is None else f'{stored}.unclipped'
        self._emit('QuantizeLinear', [source, scale, zero_point], rounded)
        if clipped_at is not None:
            ends = [zero_point, *self._upper_end(tensor, clipped_at)]
            self._emit('Clip', [rounded, *ends], stored)
        self._renamed[tensor] = f'{tensor}.stored'
        self._emit('DequantizeLinear', [stored, scale, zero_point], self._renamed[tensor])

    def _upper_end(self, tensor: str, most: float) -> list[str]:
        """Name the largest stored number, where the rounding does not saturate before it."""
        steps = np.round(np.float32(most) / np.float32(self._scales.activations[tensor]))
        if steps >= ACTIVATION_LEVELS:
            return []
        end = np.uint8(UINT8_ZERO_POINT + steps)
        return [self._add(f'{tensor}.most', end)]

    def _zero_point(self) -> tuple[str, NDArray[np.generic]]:
        if self._tensorrt:
            return 'zero_point.int8', np.zeros((), np.int8)
        return 'zero_point.uint8', np.full((), UINT8_ZERO_POINT, np.uint8)

    def _weight_behind(self, tensor: str) -> str:
        """Name the weight that a tensor is, perhaps moved around; '' where it is none."""
        return tensor if tensor in self._scales.weights else self._moved.get(tensor, '')

    def _move_weight(self, node: onnx.NodeProto) -> None:
        """Reshape or transpose a weight as int8, which a runtime does once."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[0] = self._integers(node.input[0], axis=0)
        copy.output[0] = f'{node.output[0]}.int8'
        for name in node.input[1:]:
            self._float(name)
        self._nodes.append(copy)
        self._moved[node.output[0]] = self._weight_behind(node.input[0])

    def _weight(self, tensor: str, node: onnx.NodeProto) -> str:
        """Read a weight back from int8; it is stored once."""
        output, name = f'{tensor}.stored', self._weight_behind(tensor)
        # A matrix product has the output channels last.
        axis = 1 if node.op_type == 'MatMul' else 0
        if output in self._read:
            return output
        self._read.add(output)
        integers, scale = self._integers(tensor, axis), self._scales.weights[name]
        if not self._tensorrt and node.op_type == 'Conv' and not self._gives_integers(node):
            return self._read_once(integers, scale, self._floats[name].ndim, output)
        inputs = [
            integers,
            self._add(f'{name}.scale', scale.astype(np.float32)),
            self._zero_points(len(scale), np.int8),
        ]
        self._emit('DequantizeLinear', inputs, output, axis=axis)
        return output

    def _read_once(
        self, integers: str, scale: NDArray[np.float32], axes: int, output: str
    ) -> str:
        """
        Read a weight back for a convolution that ONNX Runtime computes in float.

        What DequantizeLinear does, in operators that ONNX Runtime computes when it opens the
        graph: it leaves DequantizeLinear to every image, and then lays no weight out to be fast.
        """
        shaped = scale.astype(np.float32).reshape(-1, *[1] * (axes - 1))
        self._emit('Cast', [integers], f'{output}.cast', to=onnx.TensorProto.FLOAT)
        self._emit('Mul', [f'{output}.cast', self._add(f'{output}.scale', shaped)], output)
        return output

    def _integers(self, tensor: str, axis: int) -> str:
        """Store a weight as int8, unless it was; ``axis`` has the output channels."""
        if tensor in self._scales.weights:
            first = np.moveaxis(self._floats[tensor], axis, 0)
            scale, levels = self._scales.weights[tensor], self._scales.levels[tensor]
            stored = np.moveaxis(stored_weight(first, scale, levels), 0, axis)
            self._add(f'{tensor}.int8', np.ascontiguousarray(stored))
        return f'{tensor}.int8'

    def _integer_bias(self, name: str, node: onnx.NodeProto) -> str:
        """Store a bias as int32 on the scale of the products it is added to."""
        scale = (
            self._scales.weights[node.input[1]]
            * np.float32(self._scales.activations[node.input[0]])
        ).astype(np.float32)
        stored = np.round(self._floats[name].astype(np.float64) / scale)
        if np.abs(stored).max() >= 2**31:
            raise ValueError(f'{name}: expected a bias that fits int32, found {stored}')
        if f'{name}.int32' in self._initializers:
            # Equal biases may share an initializer, but hardly the scale.
            name = f'{name}.{node.output[0]}'
        output = f'{name}.stored'
        inputs = [
            self._add(f'{name}.int32', stored.astype(np.int32)),
            self._add(f'{name}.scale', scale),
            self._zero_points(len(scale), np.int32),
        ]
        self._emit('DequantizeLinear', inputs, output, axis=0)
        return output

    def _zero_points(self, count: int, kind: type[np.signedinteger]) -> str:
        """Give one zero for each output channel; layers of the same width share them."""
        return self._add(f'zero_point.{kind.__name__}.{count}', np.zeros(count, kind))

    def _float(self, name: str) -> str:
        return self._add(name, self._floats[name])

    def _add(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self._initializers[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _emit(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(op_type, inputs, [output], output, **attributes))


def stored_weight(
    weight: NDArray[np.float32], scale: NDArray[np.float32], levels: int
) -> NDArray[np.int8]:
    """Round a weight, output channels first, to int8 within ``-levels..levels``."""
    per_channel = scale.reshape(-1, *[1] * (weight.ndim - 1))
    result: NDArray[np.int8] = np.clip(np.round(weight / per_channel), -levels, levels).astype(
        np.int8
    )
    return result
