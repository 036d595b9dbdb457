# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Serialised messages to objects with the fields of their ROS type.

Types are taken from `rosbags`, not from the definitions in the bag: those of images, camera
information and transforms have never changed, and definitions may be damaged like all else.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from edgevl_training.bags.inflate import inflate, ZSTD_MAGIC
from edgevl_training.bags.storage import MAX_MESSAGE_BYTES, RawMessage
from rosbags.typesys import get_types_from_msg, get_typestore, Stores
from rosbags.typesys.store import Typestore

TRANSFORMS = 'tf2_msgs/msg/TFMessage'


class UnreadableMessage(Exception):
    """A message is damaged, or of a type that is not known."""


def deserialize(raw: RawMessage) -> tuple[Any, int]:
    """
    Give a message as a `rosbags` object, and its size in bytes without compression.

    :raises UnreadableMessage: with the reason.
    """
    channel, data = raw.channel, raw.data
    # No serialised message begins like this, so that a bag without metadata.yaml, which would
    # say that its messages are compressed one by one, can be read too.
    if data[:4] == ZSTD_MAGIC:
        data, why = inflate('zstd', data, MAX_MESSAGE_BYTES)
        if why:
            raise UnreadableMessage(why)
    store = _store(channel.serialization)
    if store is None or channel.msgtype not in store.types:
        raise UnreadableMessage(
            f'its type {channel.msgtype} ({channel.serialization}) is not known')
    read = store.deserialize_ros1 if channel.serialization == 'ros1' else store.deserialize_cdr
    try:
        return read(data, channel.msgtype), len(data)
    # Whatever damaged bytes may raise in code that trusts them.
    except Exception as error:
        raise UnreadableMessage(
            f'it is damaged: {len(data)} bytes are no {channel.msgtype} ({error})') from error


@cache
def _store(serialization: str) -> Typestore | None:
    if serialization == 'cdr':
        return get_typestore(Stores.LATEST)
    if serialization != 'ros1':
        return None
    store = get_typestore(Stores.ROS1_NOETIC)
    if TRANSFORMS not in store.types:
        store.register(get_types_from_msg(
            'geometry_msgs/TransformStamped[] transforms', TRANSFORMS))
    return store
