# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What layers may compute in, for TensorRT before 10, where the graph does not decide it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Sums of squares and of exponentials are too small or too large for half precision.
_FLOAT_ANYWHERE = ('NORMALIZATION', 'SOFTMAX')
# What makes unit rows of the last product: its norm, a lower bound of that, and the quotient.
_FLOAT_AT_THE_END = ('ACTIVATION', 'ELEMENTWISE', 'REDUCE', 'UNARY')
_PRODUCTS = ('CONVOLUTION', 'FULLY_CONNECTED', 'MATRIX_MULTIPLY')


def allow_precisions(api: Any, config: Any, network: Any, precision: str) -> None:
    """
    Set the flags that allow INT8 or FP16, and keep in float what has to stay so.

    A Cast in the graph does not bind the layer after it to float; only a layer's own precision
    does, and only where the builder is told to obey it.
    """
    if precision == 'fp32':
        return
    config.set_flag(api.BuilderFlag.FP16)
    if precision == 'int8':
        config.set_flag(api.BuilderFlag.INT8)
    config.set_flag(api.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    for layer in float_layers(api, network):
        layer.precision = api.float32
        layer.set_output_type(0, api.float32)


def float_layers(api: Any, network: Any) -> list[Any]:
    """Give the layers of a network that half precision would spoil."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    floating = [one for one in layers if one.get_output(0).dtype in (api.float32, api.float16)]
    found = [one for one in floating if _is(api, one, _FLOAT_ANYWHERE)]
    for layer in reversed(floating):
        if _is(api, layer, _PRODUCTS):
            break
        if _is(api, layer, _FLOAT_AT_THE_END):
            found.append(layer)
    return found


def _is(api: Any, layer: Any, kinds: Iterable[str]) -> bool:
    known = api.LayerType.__members__
    return any(layer.type == known[kind] for kind in kinds if kind in known)
