# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every option of the recorder, declared once: options of the verb, parameters of the node."""

from __future__ import annotations

from pathlib import Path
import re
from typing import Any, Literal

from edgevl_training.recipe import Recipe
from pydantic import ConfigDict, Field, field_validator, model_validator

# What the buffer must hold besides the context: the time a perception node takes to answer.
_ANSWER_S = 0.5
# What stands for no topic where an empty text cannot be given.
NO_TOPIC = 'none'


class RecordRecipe(Recipe):
    """
    Record colour, depth and camera_info, undecoded, into a rosbag2 (MCAP) for 'edgevl extract'.

    Runs on the robot until Ctrl-C. Each start makes a new folder in --out. Text after --ros-args
    goes to ROS, for example remappings.
    """

    # Parameters and YAML make a number of what looks like one: prefix:=2026
    model_config = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False)

    out: Path = Field(description='Folder to make bags in.')
    prefix: str = Field('edgevl', description='What the names of bags begin with.')
    rgb_topic: str = Field(
        '/camera/color/image_raw',
        description='Colour image topic, with or without a transport suffix; "none" for no '
        'colour.',
    )
    depth_topic: str = Field(
        '/camera/aligned_depth_to_color/image_raw',
        description='Depth image topic registered to colour; "none" for no depth.',
    )
    transport: Literal['auto', 'raw', 'compressed'] = Field(
        'auto', description='Transport of the image topics; auto: raw where it exists.'
    )
    extra_topics: tuple[str, ...] = Field(
        (), description='More topics to record, of any type (camera_info and /tf_static are in).'
    )
    mode: Literal['continuous', 'interval', 'change'] = Field(
        'continuous',
        description='Keep everything; a pair at every interval; or what was seen when the '
        'scene changed or the perception node was unsure.',
    )
    interval: float = Field(
        5.0, ge=0.01, le=86_400, description='Seconds between pairs in mode interval.'
    )
    scene_topic: str = Field(
        '/edgevl_perception/scene',
        description='Scenes of the running perception node (vision_msgs/Classification), for '
        'mode change.',
    )
    stable_frames: int = Field(
        5, ge=1, le=1000, description='Scenes in a row that make a new label a change.'
    )
    # Over dozens of labels even a right answer seldom has a score above 0.3.
    unsure_below: float = Field(
        0.1, ge=0, le=1, description='Unsure is a best score below this; 0 turns it off.'
    )
    unsure_margin: float = Field(
        0.01, ge=0, le=1,
        description='Unsure is a best score this close to the second; 0 turns it off.',
    )
    min_interval: float = Field(
        5.0, ge=0, le=86_400,
        description='Least seconds between two changes of the scene, and before a trigger for '
        'being unsure, in mode change.',
    )
    context: float = Field(
        0.5, ge=0, le=60,
        description='Seconds of all topics to keep around a trigger, half before, half after.',
    )
    fallback_interval: float = Field(
        10.0, ge=0.01, le=86_400,
        description='Seconds between pairs in mode change while no perception node is heard.',
    )
    buffer_seconds: float = Field(
        3.0, ge=0.5, le=120,
        description='Seconds to hold back in modes interval and change; more than perception '
        'takes.',
    )
    buffer_mb: float = Field(256, ge=1, le=65_536, description='Most megabytes held back.')
    split_mb: float = Field(
        2000, ge=0, le=1e6, description='Start a new file of the bag at this size; 0: never.'
    )
    split_minutes: float = Field(
        0, ge=0, le=100_000, description='Start a new file of the bag at this age; 0: never.'
    )
    min_free_gb: float = Field(
        2.0, ge=0, le=1e6, description='Pause while the disk has less free space than this.'
    )
    max_gb: float = Field(0, ge=0, le=1e6, description='End at this size of the bag; 0: never.')
    queue_mb: float = Field(
        256, ge=1, le=65_536, description='Most megabytes that wait for the disk; more is dropped.'
    )
    compression: Literal['none', 'lz4', 'zstd'] = Field(
        'none', description='Compression of chunks; of little use for compressed images.'
    )

    @field_validator('*', mode='before')
    @classmethod
    def _is_no_switch(cls, value: Any) -> Any:
        # Otherwise true would be the number 1.
        if isinstance(value, bool):
            raise ValueError('expected a number or a text')
        return value

    @field_validator('out', mode='before')
    @classmethod
    def _is_given(cls, out: Any) -> Any:
        if isinstance(out, str) and not out.strip():
            raise ValueError('expected a folder')
        return str(out) if isinstance(out, int) else out

    @field_validator('rgb_topic', 'depth_topic')
    @classmethod
    def _may_be_none(cls, topic: str) -> str:
        return '' if topic.strip() == NO_TOPIC else topic.strip()

    @field_validator('extra_topics', mode='before')
    @classmethod
    def _may_be_one(cls, topics: Any) -> Any:
        listed = (topics,) if isinstance(topics, str) else topics
        if isinstance(listed, (list, tuple)):
            return tuple(topic for topic in listed if topic != '')
        return listed

    @field_validator('out')
    @classmethod
    def _expand(cls, out: Path) -> Path:
        return out.expanduser().absolute()

    @field_validator('prefix')
    @classmethod
    def _is_a_name(cls, prefix: str) -> str:
        if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9._-]{0,63}', prefix):
            raise ValueError('expected letters, digits, dots, dashes and underscores')
        return prefix

    @model_validator(mode='after')
    def _fits_together(self) -> RecordRecipe:
        if not (self.rgb_topic or self.depth_topic):
            raise ValueError('rgb_topic and depth_topic: expected at least one, found neither')
        if self.rgb_topic == self.depth_topic:
            raise ValueError(
                f'rgb_topic and depth_topic: expected two topics, found {self.rgb_topic} twice'
            )
        if self.mode == 'change' and self.buffer_seconds < self.context + _ANSWER_S:
            raise ValueError(
                f'buffer_seconds: expected at least context + {_ANSWER_S}, '
                f'found {self.buffer_seconds}'
            )
        return self
