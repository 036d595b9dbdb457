# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Every model of OpenCLIP as a teacher, with the weights of a pretrained tag or of a local file.

Preprocessing and tokenizer are OpenCLIP's own. Weights come over the network only for a tag that
the user named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import difflib
import functools
import logging
from pathlib import Path
from typing import Any

from edgevl_ros.core.files import sha256_of
from edgevl_training.errors import TeacherError
from edgevl_training.prompts import TEMPLATES
from edgevl_training.teachers.teacher import ensemble, FloatArray, freeze, TeacherChoice
import numpy as np
from numpy.typing import NDArray

# A checkpoint of another kind could run code while it is read.
CHECKPOINTS = ('.safetensors', '.pt', '.pth', '.bin')
_HASH = 'sha256:'
_TEXTS_AT_ONCE = 256
_PREPROCESSING = ('mean', 'std', 'interpolation', 'resize_mode')
_REMEDIES = (
    '\nTo mend it, one of:\n'
    '  connect to the model hub, or fill its cache (HF_HOME) on a machine that is connected;\n'
    '  name a file that holds the weights: --teacher open_clip:{model}/{tag}@FILE.safetensors;\n'
    '  take the teacher that needs no download: --teacher conse'
)


def choose(detail: str, device: str, precision: str) -> TeacherChoice:
    """
    Find ``MODEL/TAG``, ``MODEL@FILE`` or ``MODEL/TAG@FILE`` among OpenCLIP's models.

    :raises TeacherError: when there is none of that name, with the nearest ones.
    """
    weights = Weights.named(detail)
    if precision == 'auto':
        precision = 'fp16' if device.startswith('cuda') else 'fp32'
    return TeacherChoice(
        weights.name, weights.id, device, precision,
        lambda: OpenClipTeacher(weights, device, precision),
    )


@dataclass(frozen=True)
class Weights:
    """
    A model of OpenCLIP and where its weights come from.

    ``tag`` says how they were trained, which decides the preprocessing too; with a ``file``, they
    are read from there. ``sha256`` is that of the file.
    """

    model: str
    tag: str = ''
    file: Path | None = None
    sha256: str = ''

    @classmethod
    def named(cls, text: str) -> Weights:
        """
        Read ``MODEL/TAG``, ``MODEL@FILE`` or ``MODEL/TAG@FILE``.

        :raises TeacherError: for what OpenCLIP does not have, and a file that is none.
        """
        names, _, path = text.partition('@')
        if path.startswith(_HASH):
            raise TeacherError(
                f'open_clip:{text}: expected the file that holds these weights, found its hash; '
                f'name the file, as open_clip:{names}@FILE'
            )
        model, _, tag = names.partition('/')
        _check_names(model, tag, bool(path))
        if not path:
            return cls(model, tag)
        file = Path(path).expanduser()
        if file.suffix not in CHECKPOINTS:
            raise TeacherError(
                f'{file}: expected a checkpoint ending in {", ".join(CHECKPOINTS)}, '
                f'found {file.suffix or "no ending"!r}'
            )
        if not file.is_file():
            raise TeacherError(f'{file}: expected a checkpoint of {model}, found no such file')
        return cls(model, tag, file.resolve(), sha256_of(file))

    @property
    def name(self) -> str:
        """Spell out what `named` reads, after the family."""
        return f'open_clip:{self._model_and_tag}' + (f'@{self.file}' if self.file else '')

    @property
    def id(self) -> str:  # noqa: A003 (the field's own word)
        """Name model and weights: by tag, or by what the file holds."""
        weights = f'@{_HASH}{self.sha256}' if self.file else ''
        return f'open_clip/{self._model_and_tag}{weights}'

    @property
    def _model_and_tag(self) -> str:
        return self.model + (f'/{self.tag}' if self.tag else '')

    def training(self) -> dict[str, Any]:
        """
        Say how the weights were trained: preprocessing, and whether with QuickGELU.

        :raises TeacherError: when there is no tag and OpenCLIP knows several answers.
        """
        from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model

        tags = [self.tag] if self.tag else list_pretrained_tags_by_model(self.model)
        known = [get_pretrained_cfg(self.model, tag) for tag in tags]
        preprocessing = [{key: cfg.get(key) for key in _PREPROCESSING} for cfg in known]
        if any(other != preprocessing[0] for other in preprocessing[1:]):
            raise TeacherError(
                f'{self.model}@{self.file}: weights of this model differ in the preprocessing '
                f'they expect; say how yours were trained, as open_clip:{self.model}/TAG@FILE '
                f'with one of the tags {", ".join(tags)}'
            )
        return {
            **{f'image_{key}': value for key, value in (preprocessing or [{}])[0].items()},
            'force_quick_gelu': bool(self.tag and known[0].get('quick_gelu')),
        }


def _check_names(model: str, tag: str, has_file: bool) -> None:
    from open_clip import list_models, list_pretrained_tags_by_model

    if model not in list_models():
        raise TeacherError(
            f'open_clip: expected one of its models, found {model!r}; the nearest are '
            f'{_nearest(model, list_models())}'
        )
    tags = list_pretrained_tags_by_model(model)
    if tag and tag not in tags:
        raise TeacherError(
            f'open_clip:{model}: expected one of its pretrained tags, found {tag!r}; '
            + (f'the nearest are {_nearest(tag, tags)}' if tags else 'it has none')
        )
    if not tag and not has_file:
        raise TeacherError(
            f'open_clip:{model}: expected weights too, as {model}/TAG or {model}@FILE, found '
            f'none; its tags are {", ".join(tags) or "none"}'
        )


def _nearest(name: str, known: Sequence[str]) -> str:
    spellings = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower(), spellings, n=5, cutoff=0.0)
    return ', '.join(spellings[other] for other in found)


class OpenClipTeacher:
    """A pretrained OpenCLIP model; implements `Teacher`."""

    def __init__(self, weights: Weights, device: str, precision: str) -> None:
        """
        Load the weights onto a device.

        :param precision: fp32, fp16 or bf16.
        :raises TeacherError: when they cannot be had or are not those of the model.
        """
        import open_clip
        import torch

        model, self._transform = _load(weights, device, precision)
        self.model = freeze(model)
        self.id = weights.id
        self.logit_scale = float(self.model.logit_scale.exp())
        self._name, self._device = weights.model, torch.device(device)
        self._dtype = open_clip.get_input_dtype(precision) or torch.float32
        self.dim = int(open_clip.get_model_config(weights.model)['embed_dim'])

    @property
    def image_encoder(self) -> Any:
        """Give the torch module that sees pictures."""
        return self.model.visual

    def preprocess(self, rgb: NDArray[np.uint8]) -> FloatArray:
        """Turn colour, uint8 (H, W, 3), into float32 (3, S, S) by OpenCLIP's own transform."""
        from PIL import Image

        tensor: FloatArray = self._transform(Image.fromarray(rgb)).numpy()
        return tensor

    def embed_images(self, images: FloatArray) -> FloatArray:
        """Embed preprocessed images, float32 (B, 3, S, S), as unit rows, float32 (B, D)."""
        import torch

        with torch.inference_mode():
            inputs = torch.from_numpy(images).to(self._device, self._dtype)
            return _unit(self.model.encode_image(inputs))

    def embed_texts(
        self, phrases: Sequence[str], templates: Sequence[str] | None = None
    ) -> FloatArray:
        """Embed phrases as unit rows, float32 (N, D); in the sentences of 'scene' if not given."""
        return ensemble(phrases, templates or TEMPLATES['scene'], self._embed_plain)

    def _embed_plain(self, texts: list[str]) -> FloatArray:
        import torch

        tokens = self._tokenizer(texts).to(self._device)
        with torch.inference_mode():
            return np.concatenate([
                _unit(self.model.encode_text(part)) for part in tokens.split(_TEXTS_AT_ONCE)
            ])

    @functools.cached_property
    def _tokenizer(self) -> Any:
        import open_clip

        try:
            return open_clip.get_tokenizer(self._name)
        except Exception as error:  # hubs and tokenizers raise anything
            raise TeacherError(
                f'{self.id}: its tokenizer cannot be had: {_brief(error)}'
                + _REMEDIES.format(model=self._name, tag='TAG')
            ) from error


def _load(weights: Weights, device: str, precision: str) -> tuple[Any, Any]:
    import open_clip

    # Each of its retries is a warning twice; the error at the end says it all.
    logging.getLogger('huggingface_hub').setLevel(logging.ERROR)
    try:
        model, _, transform = open_clip.create_model_and_transforms(
            weights.model, pretrained=str(weights.file or weights.tag), precision=precision,
            device=device, weights_only=True, **weights.training(),
        )
    except TeacherError:
        raise
    except Exception as error:  # a hub, a damaged file and torch raise anything
        if weights.file:
            raise TeacherError(
                f'{weights.file}: cannot be read as weights of {weights.model}: {_brief(error)}; '
                'name the model that it was trained as, or copy the file again'
            ) from error
        raise TeacherError(
            f'{weights.id}: its weights cannot be had: {_brief(error)}'
            + _REMEDIES.format(model=weights.model, tag=weights.tag)
        ) from error
    return model, transform


def _unit(rows: Any) -> FloatArray:
    from torch.nn.functional import normalize

    unit: FloatArray = normalize(rows.float(), dim=-1).cpu().numpy()
    return unit


def _brief(error: Exception) -> str:
    return ' '.join(str(error).split())[:300] or type(error).__name__
