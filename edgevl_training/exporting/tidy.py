# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small rewritings of a traced graph."""

from __future__ import annotations

import numpy as np
from onnx import helper, ModelProto, NodeProto, numpy_helper


def fold_padding(model: ModelProto) -> None:
    """
    Let convolutions pad by themselves where a Pad with zeros comes before.

    A mark between the two moves to before the padding: zero is one of the rounded numbers.
    """
    made_by = {node.output[0]: node for node in model.graph.node}
    for conv in model.graph.node:
        if conv.op_type != 'Conv' or conv.input[0] not in made_by:
            continue
        mark = made_by[conv.input[0]]
        pad = made_by.get(mark.input[0]) if mark.op_type == 'Identity' else mark
        amounts = _zeros_around(model, pad) if pad is not None else None
        if pad is None or amounts is None:
            continue
        _add_pads(conv, amounts)
        if mark is pad:
            conv.input[0] = pad.input[0]
        else:
            mark.input[0] = pad.input[0]


def _zeros_around(model: ModelProto, pad: NodeProto) -> list[int] | None:
    """Give the pads of a Pad that a Conv can do: top, left, bottom, right."""
    if pad.op_type != 'Pad' or any(a.name == 'mode' and a.s != b'constant' for a in pad.attribute):
        return None
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    if not set(filter(None, pad.input[1:])) <= set(values) or len(pad.input) > 3:
        return None
    amounts, *value = (numpy_helper.to_array(values[name]) for name in pad.input[1:] if name)
    if np.any(value) or amounts.size != 8 or np.any(amounts < 0) or np.any(amounts[[0, 1, 4, 5]]):
        return None
    return [int(amounts[i]) for i in (2, 3, 6, 7)]


def _add_pads(conv: NodeProto, amounts: list[int]) -> None:
    pads = [0, 0, 0, 0]
    for attribute in conv.attribute:
        if attribute.name == 'pads':
            pads = list(attribute.ints)
    kept = [attribute for attribute in conv.attribute if attribute.name != 'pads']
    kept.append(helper.make_attribute('pads', [a + b for a, b in zip(pads, amounts)]))
    del conv.attribute[:]
    conv.attribute.extend(kept)
