# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
INT8 in training: a student whose tensors are rounded as they will be on the robot.

NVIDIA ModelOpt puts a quantizer before every convolution and linear layer and one on its weight.
All are symmetric with zero point 0, so that one set of scales serves TensorRT (int8) and ONNX
Runtime (uint8 with zero point 128), see `edgevl_training.quantize`:

- A weight has one scale for each output channel: its largest value there, at every step, so that
  no weight is ever clipped. It follows from the weights and is stored nowhere.
- An activation has one scale, found by calibration and kept from then on, unless
  `edgevl_training.learned_scales` trains it. It clips rare large values, for finer steps
  elsewhere.

Which tensors carry a scale, by the name of the module that they enter:

- the inputs of all convolutions and linear layers;
- in timm's EfficientNet family (with MobileNetV2 and MnasNet) also both summands of a residual
  block, which enter the block (``...blocks.1.1``) and its ``drop_path``, and the map that enters
  ``global_pool``. ONNX Runtime has no INT8 convolution with a float output, and adds and pools in
  INT8 where all tensors around are; without these scales it would fall back to float.

In vision transformers the residual stream stays float, as its few huge channels leave INT8 no
steps for the others; their linear layers need no scale on the output.

Weights that go through matrix multiplication have seven bits unless asked for eight: on CPUs with
AVX2 or AVX-512 but without VNNI the sum of two uint8 x int8 products overflows 16 bits otherwise,
and ONNX Runtime gives wrong numbers without a word. Depthwise convolutions have eight in any case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, replace
import json
import logging
from pathlib import Path
from typing import Any, Literal
import warnings

from edgevl_ros.core.preprocess import ColorSpec
from edgevl_training.quantize import ACTIVATION_LEVELS, activation_scale
from edgevl_training.students.backbones import open_backbone
from edgevl_training.students.folding import fold_batch_norm
from edgevl_training.students.student import Student
from edgevl_training.students.weights import (
    load_strictly,
    read_tensors,
    StudentError,
    write_tensors,
)
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
import torch
from torch import nn, Tensor

# It warns of a missing compiler for CUDA, and of parts for language models: nothing used here.
logging.disable(logging.WARNING)
with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    import modelopt.torch.quantization as mtq
    from modelopt.torch.quantization.config import QuantizerAttributeConfig
    from modelopt.torch.quantization.nn import TensorQuantizer
logging.disable(logging.NOTSET)

Method = Literal['mse', 'max', 'percentile']

ACTIVATION_BITS, DEPTHWISE_BITS = 8, 8
_METADATA = 'edgevl_quantized_student'
_LAYERS = ('Conv1d', 'Conv2d', 'Conv3d', 'ConvTranspose1d', 'ConvTranspose2d', 'ConvTranspose3d',
           'Linear')
_ACTIVATION = {'num_bits': ACTIVATION_BITS, 'axis': None, 'calibrator': 'histogram'}
# Least scale of an output channel, as a share of the layer's largest. With less, as of a channel
# that is all zero, its bias would not fit the int32 that ONNX Runtime stores it in.
_LEAST_SHARE = 1e-4
SMALLEST_SCALE = 1e-12


class Int8Quantizer(TensorQuantizer):
    """
    ModelOpt's quantizer with the kernels of torch: one pass, in any memory format.

    The gradient passes where nothing was clipped. ``_amax`` of an activation is a float32 scalar,
    0 until it is calibrated; a weight has none.
    """

    @property
    def scale(self) -> Tensor:
        """Give the scale of an activation, float32 without axes."""
        return self._amax / self.maxbound

    def forward(self, x: Tensor) -> Tensor:
        """Round, or collect statistics."""
        if self._if_calib:
            self.collect(x)
        if not self._if_quant or self._disabled:
            return x
        if self.axis is None:
            scale = self.scale.clamp(min=SMALLEST_SCALE)
            rounded = torch.fake_quantize_per_tensor_affine(
                x.float(), scale, torch.zeros_like(scale, dtype=torch.int32),
                -self.maxbound - 1, self.maxbound,
            )
        else:
            scale = weight_scale(x, self.maxbound)
            rounded = torch.fake_quantize_per_channel_affine(
                x.float(), scale, torch.zeros_like(scale, dtype=torch.int32), 0,
                -self.maxbound, self.maxbound,
            )
        return rounded.to(x.dtype)


@torch.no_grad()
def weight_scale(weight: Tensor, levels: int) -> Tensor:
    """Give the scale of each output channel of a weight, (out, ...), as float32 (out,)."""
    largest = weight.float().abs().amax(tuple(range(1, weight.ndim)))
    return largest.clamp(min=float(largest.max()) * _LEAST_SHARE + SMALLEST_SCALE) / levels


def insert_quantizers(student: Student, weight_bits: int = 7) -> Student:
    """
    Fold batch norm and put quantizers into a student; `calibrate` it next.

    :param weight_bits: of weights that are matrices, 7 or 8.
    :returns: the student, changed in place.
    :raises StudentError: when a layer cannot be quantized.
    """
    fold_batch_norm(student)
    with warnings.catch_warnings(), redirect_stdout(None):
        # That every process should calibrate on the same data, as they do.
        warnings.simplefilter('ignore')
        mtq.quantize(student, {'quant_cfg': _config(weight_bits), 'algorithm': None})
    for module in student.modules():
        if isinstance(module, TensorQuantizer) and module.is_enabled:
            module.__class__ = Int8Quantizer
    for module in student.modules():
        if isinstance(module, nn.Conv2d) and _is_depthwise(module):
            module.weight_quantizer.num_bits = DEPTHWISE_BITS
    for name in _further_points(student):
        _round_input(student.get_submodule(name))
    for quantizer in activation_quantizers(student).values():
        quantizer.amax = torch.zeros(())
    _check_all_quantized(student)
    return student


def _config(weight_bits: int) -> list[dict[str, Any]]:
    """Give ModelOpt's configuration: all off, then on by the class of layer."""
    entries: list[dict[str, Any]] = [{'quantizer_name': '*', 'enable': False}]
    for layer in _LAYERS:
        for quantizer, how in (
            ('*weight_quantizer', {'num_bits': weight_bits, 'axis': 0}),
            ('*input_quantizer', _ACTIVATION),
        ):
            entries.append(
                {'quantizer_name': quantizer, 'parent_class': f'nn.{layer}', 'cfg': how}
            )
    return entries


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels > 1


def _further_points(student: Student) -> list[str]:
    """Name the modules without weights whose input ONNX Runtime wants rounded."""
    from timm.models.efficientnet import EfficientNet

    backbone = student.backbone
    if not isinstance(backbone, EfficientNet):
        return []
    blocks = [
        f'backbone.{name}' for name, module in backbone.named_modules()
        if getattr(module, 'has_skip', False)
    ]
    summands = [f'{block}{part}' for block in blocks for part in ('', '.drop_path')]
    return [*summands, 'backbone.global_pool']


def _round_input(module: nn.Module) -> None:
    """Put a quantizer before a module that ModelOpt knows nothing of."""
    module.input_quantizer = Int8Quantizer(QuantizerAttributeConfig(**_ACTIVATION))
    module.register_forward_pre_hook(_through_quantizer)


def _through_quantizer(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (module.input_quantizer(inputs[0]), *inputs[1:])


def _check_all_quantized(student: Student) -> None:
    """
    Prove that no layer with a weight matrix is left float.

    :raises StudentError: naming those that are.
    """
    left = []
    for name, module in student.named_modules():
        if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
            found = [getattr(module, f'{kind}_quantizer', None) for kind in ('weight', 'input')]
            if not all(isinstance(quantizer, Int8Quantizer) for quantizer in found):
                left.append(f'{name} ({type(module).__name__})')
        elif isinstance(module, (nn.MultiheadAttention, nn.RNNBase, nn.Bilinear)):
            left.append(f'{name} ({type(module).__name__})')
    if left:
        raise StudentError(
            f'{student.name}: expected convolutions and linear layers that ModelOpt can quantize, '
            f'found {", ".join(left[:8])}; choose another network'
        )


@torch.inference_mode()
def calibrate(student: Student, batches: Iterable[Tensor], method: Method = 'mse') -> None:
    """
    Find the scales of all activations from training pictures of both modalities.

    :param batches: float32 (B, 3, S, S), preprocessed.
    :param method: ``mse`` for the least squared rounding error, as of Nagel et al., "A White
        Paper on Neural Network Quantization" (2021), section 3; ``max`` for no clipping;
        ``percentile`` to clip one value in 10,000.
    :raises StudentError: when there is no picture.
    """
    training = student.training
    student.eval()
    quantizers = activation_quantizers(student)
    kind = 'max' if method == 'max' else 'histogram'
    for quantizer in quantizers.values():
        quantizer.set_from_attribute_config({'calibrator': kind})
        quantizer.enable_calib()
    # Scales are of the float network: the error of one layer's rounding must not hide another's.
    all_quantizers = [module for module in student.modules() if isinstance(module, Int8Quantizer)]
    for quantizer in all_quantizers:
        quantizer.disable_quant()
    count = sum(len(student(images)) for images in batches)
    if not count:
        raise StudentError(f'{student.name}: expected pictures to calibrate with, found none')
    for quantizer in quantizers.values():
        quantizer.amax = torch.tensor(_largest_kept(quantizer._calibrator, method))
        quantizer._calibrator.reset()
        quantizer.disable_calib()
    for quantizer in all_quantizers:
        quantizer.enable_quant()
    student.train(training)


def _largest_kept(calibrator: Any, method: Method) -> float:
    """Choose the largest value that is not clipped, from what a calibrator has seen."""
    if method == 'max':
        return float(calibrator.compute_amax())
    if method == 'percentile':
        return float(calibrator.compute_amax('percentile', percentile=99.99))
    # ModelOpt 0.47 hands its rounding the number of bits as a bias here, and finds nonsense.
    counts, largest = calibrator._calib_hist, float(calibrator._calib_bin_edges[-1])
    return ACTIVATION_LEVELS * activation_scale(counts.double().cpu().numpy(), largest)


def activation_scales(student: Student) -> dict[str, float]:
    """
    Give the scale of the tensor that enters a module, by the module's name.

    Modules that share an input, such as a block and its first convolution, have the same scale.
    """
    return {
        name: float(quantizer.scale)
        for name, quantizer in activation_quantizers(student).items()
    }


def weight_scales(student: Student) -> dict[str, NDArray[np.float32]]:
    """Give the scales of the output channels of a weight, (out,), by the module's name."""
    return {
        name: weight_scale(weight, quantizer.maxbound).cpu().numpy()
        for name, weight, quantizer in _weights(student)
    }


def weight_levels(student: Student) -> dict[str, int]:
    """Give the largest stored integer of a weight by the module's name: 63 or 127."""
    return {name: int(quantizer.maxbound) for name, _, quantizer in _weights(student)}


def float_twin(student: Student) -> Student:
    """Build the same network without quantizers and batch norm, for export; names are the same."""
    twin = fold_batch_norm(_rebuilt(_about(student)))
    weights = {
        name: value for name, value in student.state_dict().items()
        if '_quantizer.' not in name
    }
    load_strictly(twin, weights, 'a quantized student', student.name)
    return twin.train(student.training)


def save_quantized(student: Student, path: Path) -> None:
    """Write weights, scales and what is needed to build the student again, as safetensors."""
    tensors = {name: value.contiguous() for name, value in student.state_dict().items()}
    write_tensors(path, tensors, {_METADATA: json.dumps(_about(student))})


def load_quantized(path: Path) -> Student:
    """
    Build the student that `save_quantized` wrote, in training mode, with the same embeddings.

    :raises StudentError: when the file is missing, damaged or of another kind.
    """
    tensors = read_tensors(path)
    with safe_open(path, 'pt') as file:
        text = (file.metadata() or {}).get(_METADATA)
    if text is None:
        raise StudentError(f'{path}: expected a quantized student, found other tensors')
    try:
        about = json.loads(text)
        student = insert_quantizers(_rebuilt(about), int(about['weight_bits']))
    except (KeyError, TypeError, ValueError) as error:
        raise StudentError(f'{path}: expected the description of a student: {error}') from error
    load_strictly(student, tensors, path, student.name)
    return student


def _about(student: Student) -> dict[str, Any]:
    return {
        'name': student.name,
        'dim': student.dim,
        'image_size': student.image_size,
        'color': asdict(student.color),
        'weight_bits': student.projection.weight_quantizer.num_bits,
    }


def _rebuilt(about: dict[str, Any]) -> Student:
    color = ColorSpec(**{key: tuple(value) for key, value in about['color'].items()})
    backbone = open_backbone(about['name'], about['image_size'], None)
    return Student(about['name'], replace(backbone, color=color), about['dim'])


def activation_quantizers(student: Student) -> dict[str, Any]:
    """Find the quantizers of activations by the names of the modules they belong to."""
    suffix = '.input_quantizer'
    return {
        name.removesuffix(suffix): module for name, module in student.named_modules()
        if name.endswith(suffix) and isinstance(module, Int8Quantizer)
    }


def _weights(student: Student) -> Iterator[tuple[str, Tensor, Any]]:
    for name, module in student.named_modules():
        quantizer = getattr(module, 'weight_quantizer', None)
        if isinstance(quantizer, Int8Quantizer):
            yield name, module.weight, quantizer
