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
  ReLU6 would break the pattern that ONNX Runtime fuses, so its upper end becomes the saturation of
  the rounding and its lower end a Clip of the rounded numbers.

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
            if self._is_folded_clip(node):
                self._store(self._renamed.get(node.input[0], node.input[0]), node.output[0], True)
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

    def _is_folded_clip(self, node: onnx.NodeProto) -> bool:
        """Tell whether rounding takes over this Clip: on ONNX Runtime, where it is stored."""
        stored = node.output[0] in self._scales.activations
        return node.op_type == 'Clip' and stored and not self._tensorrt

    def _copy(self, node: onnx.NodeProto) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.input[:]
        for index, name in enumerate(node.input):
            if name in self._scales.weights:
                copy.input.append(self._weight(name))
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

    def _has_integer_bias(self, node: onnx.NodeProto) -> bool:
        return not self._tensorrt and node.op_type in ('Conv', 'Gemm')

    def _store(self, source: str, tensor: str, clip_at_zero: bool = False) -> None:
        """Round ``source`` to the scale of ``tensor``; later nodes then read the rounded one."""
        scale = self._add(f'{tensor}.scale', np.float32(self._scales.activations[tensor]))
        zero_point = self._add(*self._zero_point())
        stored = f'{tensor}.int8' if self._tensorrt else f'{tensor}.uint8'
        rounded = f'{stored}.unclipped' if clip_at_zero else stored
        self._emit('QuantizeLinear', [source, scale, zero_point], rounded)
        if clip_at_zero:
            self._emit('Clip', [rounded, zero_point], stored)
        self._renamed[tensor] = f'{tensor}.stored'
        self._emit('DequantizeLinear', [stored, scale, zero_point], self._renamed[tensor])

    def _zero_point(self) -> tuple[str, NDArray[np.generic]]:
        if self._tensorrt:
            return 'zero_point.int8', np.zeros((), np.int8)
        return 'zero_point.uint8', np.full((), UINT8_ZERO_POINT, np.uint8)

    def _weight(self, name: str) -> str:
        """Store a weight as int8 once, and read it back through DequantizeLinear."""
        scale = self._scales.weights[name]
        output = f'{name}.stored'
        if f'{name}.int8' not in self._initializers:
            stored = stored_weight(self._floats[name], scale, self._scales.levels[name])
            inputs = [
                self._add(f'{name}.int8', stored),
                self._add(f'{name}.scale', scale.astype(np.float32)),
                self._add(f'{name}.zero_point', np.zeros(len(scale), np.int8)),
            ]
            self._emit('DequantizeLinear', inputs, output, axis=0)
        return output

    def _integer_bias(self, name: str, node: onnx.NodeProto) -> str:
        """Store a bias as int32 on the scale of the products it is added to."""
        source = next(
            key for key, value in self._renamed.items()
            if value == self._renamed.get(node.input[0], node.input[0])
        )
        scale = (
            self._scales.weights[node.input[1]] * np.float32(self._scales.activations[source])
        ).astype(np.float32)
        stored = np.round(self._floats[name].astype(np.float64) / scale)
        if np.abs(stored).max() >= 2**31:
            raise ValueError(f'{name}: expected a bias that fits int32, found {stored}')
        output = f'{name}.stored'
        inputs = [
            self._add(f'{name}.int32', stored.astype(np.int32)),
            self._add(f'{name}.scale', scale),
            self._add(f'{name}.zero_point', np.zeros(len(scale), np.int32)),
        ]
        self._emit('DequantizeLinear', inputs, output, axis=0)
        return output

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
