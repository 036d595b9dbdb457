# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What an engine's layers compute in, read from what the builder reports of the finished engine.

The flag that allows INT8 says nothing about what was chosen; the types of a layer's tensors do.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
import re
from typing import Any

_LAYER = re.compile(
    r'^Name: (?P<name>.*?), LayerType: (?P<kind>[^,]*), Inputs: \[(?P<inputs>.*?)\], '
    r'Constants: \[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], TacticName: '
    r'.*?, Metadata: (?P<metadata>.*)$'
)
_TYPE = re.compile(r'Datatype: (\w+)')
_NODE = re.compile(r'ONNX Layer: ([^\]\x1e]+)')
_KINDS = {
    'int8': 'Int8', 'fp16': 'Half', 'half': 'Half', 'fp32': 'Float', 'float': 'Float',
    'int32': 'Int32', 'int64': 'Int64', 'bool': 'Bool', 'fp8': 'Fp8', 'bf16': 'Bf16',
}
_INSPECTED = re.compile(rf'\b({"|".join(_KINDS)})\b', re.IGNORECASE)
# Layers that multiply matrices, where nearly all the time goes.
_PRODUCTS = ('conv', 'correlation', 'gemm', 'matmul', 'matrix', 'mha')


@dataclass(frozen=True)
class Layer:
    """
    One layer of an engine and the types, such as ``Int8``, of its tensors.

    ``nodes`` are the names of the graph's nodes that it computes.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...] = ()

    @property
    def multiplies(self) -> bool:
        """Tell whether it is a convolution or a matrix product."""
        return any(word in self.kind.lower() for word in _PRODUCTS)

    @property
    def is_int8(self) -> bool:
        """Tell whether what it multiplies are 8-bit integers."""
        return bool(self.inputs) and self.inputs[0] == 'Int8' and (
            'Int8' in self.constants or 'Int8' in self.inputs[1:]
        )


def layers_in(report: str) -> tuple[Layer, ...]:
    """Read the layers in a builder's detailed report; none where it has another form."""
    return tuple(_layer(match) for match in map(_LAYER.match, report.splitlines()) if match)


def inspected_layers(text: str) -> tuple[Layer, ...]:
    """
    Read the layers in what TensorRT's inspector tells of a finished engine, as JSON.

    It writes a type within words, such as ``Thirty-two wide channel vectorized row major Int8
    format``, and a tensor's own name, which may have any word in it, elsewhere.

    :raises ValueError: when it is no JSON.
    """
    described = json.loads(text)
    layers = described.get('Layers', []) if isinstance(described, dict) else []
    # An engine that was built without details gives names alone.
    return tuple(_inspected(layer) for layer in layers if isinstance(layer, dict))


def _inspected(layer: dict[str, Any]) -> Layer:
    inputs, constants, outputs = (
        tuple(_kind(str(tensor.get('Format/Datatype', ''))) for tensor in layer.get(part) or ()
              if isinstance(tensor, dict))
        for part in ('Inputs', 'Constants', 'Outputs')
    )
    # The weights of a convolution are described beside it.
    weights = layer.get('Weights')
    if isinstance(weights, dict) and not constants:
        constants = (_kind(str(weights.get('Type', ''))),)
    nodes = tuple(_NODE.findall(str(layer.get('Metadata', ''))))
    return Layer(
        str(layer.get('Name', '')), str(layer.get('LayerType', '')), inputs, constants, outputs,
        nodes,
    )


def _kind(words: str) -> str:
    """Give the type in a description, called as the builder's report calls it."""
    found = _INSPECTED.search(words)
    return _KINDS[found[1].lower()] if found else words


def _layer(match: re.Match[str]) -> Layer:
    inputs, constants, outputs = (
        tuple(_TYPE.findall(match[part])) for part in ('inputs', 'constants', 'outputs')
    )
    nodes = tuple(_NODE.findall(match['metadata']))
    return Layer(match['name'], match['kind'], inputs, constants, outputs, nodes)
