# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The metadata.yaml of a bag.

Version 5 is what ROS 2 Humble writes; every later rosbag2 reads it, and Humble reads no later one
for certain. Up to version 8 quality of service is YAML in a string, with numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgevl_training.output import write_text
from edgevl_training.recording.mcap_file import FileCounts
from edgevl_training.recording.messages import Topic
import yaml

FILE = 'metadata.yaml'
VERSION = 5
_ROOT = 'rosbag2_bagfile_information'
_LARGEST_BYTES = 10_000_000


def describe(topics: Iterable[Topic], files: Mapping[str, FileCounts]) -> dict[str, Any]:
    """Describe a bag: its topics, and the counts of its files by name, in order."""
    whole = FileCounts()
    for counts in files.values():
        whole += counts
    return {
        'version': VERSION,
        'storage_identifier': 'mcap',
        **_span(whole),
        'topics_with_message_count': [
            {
                'topic_metadata': {
                    'name': topic.name,
                    'type': topic.message_type,
                    'serialization_format': 'cdr',
                    'offered_qos_profiles': topic.offered_qos,
                },
                'message_count': whole.by_topic[topic.name],
            }
            for topic in topics
        ],
        'compression_format': '',
        'compression_mode': '',
        'relative_file_paths': list(files),
        'files': [{'path': name, **_span(counts)} for name, counts in files.items()],
    }


def serialized(description: Mapping[str, Any]) -> str:
    """Write a description as the plugin of rosbag2 stores it inside of an MCAP file."""
    return _dump(dict(description))


def write(folder: Path, description: Mapping[str, Any]) -> None:
    """Write metadata.yaml whole or not at all."""
    write_text(folder / FILE, _dump({_ROOT: dict(description)}))


def read_topics(folder: Path) -> list[Topic]:
    """Give the topics that a metadata.yaml of ours lists; none where it cannot be read."""
    path = folder / FILE
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            return []
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
        listed = [item['topic_metadata'] for item in content[_ROOT]['topics_with_message_count']]
        return [
            Topic(item['name'], item['type'], offered_qos=item['offered_qos_profiles'])
            for item in listed
        ]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return []


def _dump(content: Any) -> str:
    # Texts in one line each, as rosbag2 writes them.
    return yaml.safe_dump(content, sort_keys=False, width=float('inf'))


def _span(counts: FileCounts) -> dict[str, Any]:
    start_ns, end_ns = counts.start_ns or 0, counts.end_ns or 0
    return {
        'duration': {'nanoseconds': end_ns - start_ns},
        'starting_time': {'nanoseconds_since_epoch': start_ns},
        'message_count': counts.total,
    }
