# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that decodes, infers and publishes, always on the newest frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import threading
import time
from typing import Any

from edgevl_ros.core.errors import BadImage
from edgevl_ros.core.frame import Frame, Modality
from edgevl_ros.core.mailbox import Mailbox
from edgevl_ros.core.perception import NothingToLabel, Perception
from edgevl_ros.core.scene import Scene
from edgevl_ros.nodes import messages
from edgevl_ros.nodes.camera_input import CameraPair, ReportBad
from edgevl_ros.nodes.messages import CameraMessage
import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

LONGEST_WAIT_S = 0.1


@dataclass(frozen=True)
class Labelled:
    """A frame, its scene and the camera's own header, with the seconds spent on them."""

    frame: Frame
    scene: Scene
    header: Header
    processing_s: float


class Worker:
    """
    A thread from mailbox to publisher.

    Whatever goes wrong with one frame is reported and the next one is tried.
    """

    def __init__(
        self,
        mailbox: Mailbox[CameraPair],
        perception: Perception,
        max_rate: Callable[[], float],
        publish: Callable[[Labelled], None],
        report_bad: ReportBad,
        report_unusable: Callable[[str], None],
        report_failure: Callable[[Exception], None],
    ) -> None:
        """Start the thread; the callables are called on it."""
        self._mailbox = mailbox
        self._perception = perception
        self._max_rate = max_rate
        self._publish = publish
        self._report_bad = report_bad
        self._report_unusable = report_unusable
        self._report_failure = report_failure
        self._timeline = 0
        self._started_s = float('-inf')
        self._thread = threading.Thread(target=self._run, name='perception', daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Finish the frame in work and end the thread; False when it is stuck in the runtime."""
        self._mailbox.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._mailbox.closed:
            # Waiting before taking, not after, so that the frame taken is the newest.
            if not self._wait_for_rate():
                continue
            pair = self._mailbox.take()
            if pair is None:
                continue
            self._started_s = time.monotonic()
            try:
                self._work(pair)
            # Whatever a runtime or a middleware raises, the next frame deserves its chance.
            except Exception as error:  # noqa: B902
                self._report_failure(error)

    def _wait_for_rate(self) -> bool:
        """Sleep until the next frame is due, in short steps; False while it is not."""
        rate = self._max_rate()
        remaining_s = self._started_s + 1 / rate - time.monotonic() if rate > 0 else 0.0
        if remaining_s > 0:
            time.sleep(min(remaining_s, LONGEST_WAIT_S))
        return remaining_s <= LONGEST_WAIT_S

    def _work(self, pair: CameraPair) -> None:
        started = time.perf_counter()
        if pair.timeline != self._timeline:
            self._timeline = pair.timeline
            self._perception.reset()
        decoded = self._decode(pair)
        if decoded is None:
            return
        header, frame = decoded
        try:
            scene = self._perception.perceive(frame)
        except NothingToLabel as error:
            self._report_unused(error.unused)
            self._report_unusable(str(error))
            return
        self._report_unused(scene.unused)
        self._publish(Labelled(frame, scene, header, time.perf_counter() - started))

    def _report_unused(self, unused: Mapping[Modality, str]) -> None:
        for modality, reason in unused.items():
            self._report_bad(modality, reason)

    def _decode(self, pair: CameraPair) -> tuple[Header, Frame] | None:
        """
        Decode both images; one that cannot be is reported and the other used alone.

        :returns: the header of the colour image, or of depth where there is no colour, and the
            frame; None when neither image can be used.
        """
        color, depth_message = pair.color, pair.depth
        if color is not None and depth_message is not None:
            # An image that nobody looks at is not worth decoding beside one that counts.
            color = color if self._perception.looks_at(Modality.RGB) else None
            depth_message = depth_message if self._perception.looks_at(Modality.DEPTH) else None
        rgb = self._decode_one(color, Modality.RGB, messages.decode_rgb)
        depth = self._decode_one(depth_message, Modality.DEPTH, messages.decode_depth)
        source = pair.color if rgb is not None else pair.depth
        if source is None or (rgb is None and depth is None):
            return None
        stamp_ns = messages.stamp_ns(source.header)
        return source.header, Frame(stamp_ns, source.header.frame_id, rgb, depth)

    def _decode_one(
        self,
        message: CameraMessage | None,
        modality: Modality,
        decode: Callable[[CameraMessage], NDArray[Any]],
    ) -> NDArray[Any] | None:
        if message is None:
            return None
        try:
            image = decode(message)
        except BadImage as error:
            self._report_bad(modality, str(error))
            return None
        return np.asarray(image)
