# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS messages to and from the types of core."""

from __future__ import annotations

from typing import TypeAlias

from edgevl_ros.core import encodings
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.scene import Scene
from edgevl_ros.core.vocabulary import Vocabulary
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Classification, LabelInfo, ObjectHypothesis, VisionClass

CameraMessage: TypeAlias = Image | CompressedImage


def stamp_ns(header: Header) -> int:
    """Give a header's stamp as integer nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def check(message: CameraMessage, modality: Modality) -> None:
    """
    Check what can be told of an image message without decoding it.

    :raises BadImage: with what is wrong and how to mend it.
    """
    if modality is Modality.RGB and isinstance(message, Image):
        encodings.check_color(message)
    elif modality is Modality.RGB:
        encodings.check_compressed_color(message)
    elif isinstance(message, Image):
        encodings.check_depth(message)
    else:
        encodings.check_compressed_depth(message)


def decode_rgb(message: CameraMessage) -> NDArray[np.uint8]:
    """
    Decode colour to uint8 (H, W, 3), red first.

    :raises BadImage: when the message holds no colour image.
    """
    if isinstance(message, Image):
        return encodings.decode_color(message)
    return encodings.decode_compressed_color(message)


def decode_depth(message: CameraMessage) -> NDArray[np.float32]:
    """
    Decode depth to float32 (H, W) in metres, NaN where there is no reading (REP 118).

    :raises BadImage: when the message holds no depth image.
    """
    if isinstance(message, Image):
        return encodings.decode_depth(message)
    return encodings.decode_compressed_depth(message)


def classification(scene: Scene, header: Header) -> Classification:
    """Publish a scene's hypotheses, most probable first, under the camera's own header."""
    return Classification(
        header=header,
        results=[
            ObjectHypothesis(class_id=h.label, score=h.probability) for h in scene.hypotheses
        ],
    )


def label_info(vocabulary: Vocabulary, header: Header, threshold: float) -> LabelInfo:
    """Publish a vocabulary and the probability below which the stable label is unknown."""
    return LabelInfo(
        header=header,
        class_map=[
            VisionClass(class_id=index, class_name=label)
            for index, label in enumerate(vocabulary.labels)
        ],
        threshold=threshold,
    )


def color_image(rgb: NDArray[np.uint8], header: Header) -> Image:
    """Publish a colour image, uint8 (H, W, 3) with red first, as rgb8."""
    encoded = encodings.encode_color(rgb)
    return Image(
        header=header,
        height=encoded.height,
        width=encoded.width,
        encoding=encoded.encoding,
        is_bigendian=encoded.is_bigendian,
        step=encoded.step,
        data=encoded.data,
    )
