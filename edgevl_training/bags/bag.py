# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A bag of any age, format and state of repair, read without ROS.

rosbag2 with mcap or SQLite, split, compressed per file, per message or per chunk, with or without
metadata.yaml; ROS 1 (version 2.0). Memory does not grow with the length of a bag, and every
message that can be read is given, whatever happened to the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
import hashlib
from pathlib import Path
from typing import Any

from edgevl_training.bags.layout import bag_name, files_of, Metadata, open_file
from edgevl_training.bags.messages import deserialize, TRANSFORMS, UnreadableMessage
from edgevl_training.bags.order import merge
from edgevl_training.bags.storage import (
    Channel,
    Deadline,
    IMAGE,
    IMAGE_TYPES,
    Look,
    RawMessage,
    StorageFile,
)
from edgevl_training.bags.time_order import messages_to_the_end
from edgevl_training.bags.transforms import StaticTransforms
from edgevl_training.errors import SourceError

# How long opening a bag and looking for its transforms may take, where no index helps.
_LOOK_SECONDS = 5.0
_TRANSFORMS_SECONDS = 5.0
_MOST_LOSSES = 10_000
_MOST_LISTED = 1000
_FINGERPRINT_BYTES = 1 << 20


@dataclass(frozen=True)
class Topic:
    """
    A topic of a bag; ``count`` is 0 where the bag does not say how many messages it has.

    ``encoding`` is the encoding of its first raw image or the format of its first compressed one,
    as the message spells it; empty when none could be read, and for all that are no images.
    """

    name: str
    msgtype: str
    count: int = 0
    encoding: str = ''

    def __str__(self) -> str:
        """Describe the topic in one line."""
        count = self.count or 'an unknown number of'
        kind = f'{self.msgtype}, {self.encoding}' if self.encoding else self.msgtype
        return f'{self.name} ({kind}, {count} messages)'


@dataclass(frozen=True)
class Loss:
    """Something that could not be read: in which file, what, and why."""

    where: str
    what: str
    why: str

    def __str__(self) -> str:
        """Describe the loss in one line."""
        return f'{self.where}: {self.what}: {self.why}'


@dataclass(frozen=True)
class BagMessage:
    """
    A message with the fields of its ROS type, as `rosbags` makes it.

    ``time_ns`` is the time of recording, ``size`` the serialised length in bytes.
    """

    topic: str
    time_ns: int
    message: Any
    size: int


class Bag:
    """
    An open bag; made by `open_bag`.

    ``topics`` are all of them, by name. ``losses`` grows while messages are read. It names each
    loss once, and of many that are alike (messages of a topic that are damaged) the first, with
    the number of the others.
    """

    def __init__(self, path: Path) -> None:
        """
        Look at the files of a bag.

        :raises SourceError: there is no bag, or nothing in it can be read.
        """
        self.path = path
        self.name = bag_name(path)
        self.losses: list[Loss] = []
        self._known_losses: set[Loss] = set()
        # Of each kind of losses the place in the list, the first and their number.
        self._alike: dict[tuple[str, str], tuple[int, Loss, int]] = {}
        self._paths, metadata = files_of(path, partial(self._lose, ''))
        self._sizes = [file.stat().st_size for file in self._paths]
        self.size_bytes = sum(self._sizes)
        # The readers of the pass through the bag that began last.
        self._files: list[StorageFile] = []
        self._bytes_read = 0
        self._starts_ns: list[int | None] = []
        self.topics = self._look(metadata)
        if not self.topics:
            raise SourceError(
                f'{path}: expected a bag with topics, found nothing readable in its '
                f'{self.size_bytes} bytes'
                f'{"".join(f"; {loss}" for loss in self.losses[:3])}; record it again, or '
                'restore it from a copy')

    @property
    def bytes_read(self) -> int:
        """How many of ``size_bytes`` have been read; never falls."""
        positions = zip((file.position for file in self._files), self._sizes)
        self._bytes_read = max(self._bytes_read, sum(min(pair) for pair in positions))
        return self._bytes_read

    def messages(self, names: Collection[str]) -> Iterator[BagMessage]:
        """Give every readable message of some topics in the order of recording."""
        wanted = set(names)
        found: Counter[str] = Counter()
        self._files = [open_file(path) for path in self._paths]
        for raw in merge([
            (start_ns, partial(self._read, file, wanted))
            for start_ns, file in zip(self._starts_ns, self._files)
        ]):
            found[raw.channel.topic] += 1
            try:
                message, size = deserialize(raw)
            except UnreadableMessage as error:
                name, why = raw.channel.topic, str(error)
                self._lose('', f'a message of {name} at {raw.time_ns} ns', why,
                           f'{name} {why.partition(":")[0]}')
                continue
            yield BagMessage(raw.channel.topic, raw.time_ns, message, size)
        for topic in self.topics:
            if topic.name in wanted and topic.count > found[topic.name]:
                self._lose('', f'{topic.count - found[topic.name]} of {topic.count} messages of '
                           f'{topic.name} in all', 'the bag counts them, but they were not found')

    def static_transforms(self) -> StaticTransforms:
        """
        Collect the transforms of /tf_static.

        Where the bag has no index, only what some seconds of reading show is found.
        """
        transforms = StaticTransforms()
        names = {t.name for t in self.topics
                 if t.msgtype == TRANSFORMS and t.name.endswith('tf_static')}
        deadline = Deadline(_TRANSFORMS_SECONDS)
        for path in self._paths if names else ():
            for raw in _undisturbed(open_file(path), names, deadline):
                try:
                    transforms.add(deserialize(raw)[0])
                except UnreadableMessage:
                    continue
            if deadline.passed:
                break
        return transforms

    def fingerprint(self) -> str:
        """
        Identify the content: sha256 over the size and the first and last MiB of each file.

        Bags are too large to be read a second time just for this.
        """
        digest = hashlib.sha256()
        for path, size in zip(self._paths, self._sizes):
            digest.update(size.to_bytes(8, 'little'))
            with path.open('rb') as stream:
                digest.update(stream.read(_FINGERPRINT_BYTES))
                stream.seek(max(0, size - _FINGERPRINT_BYTES))
                digest.update(stream.read(_FINGERPRINT_BYTES))
        return f'sha256:{digest.hexdigest()}'

    def _read(self, file: StorageFile, names: Collection[str]) -> Iterator[RawMessage]:
        yield from messages_to_the_end(file, names, partial(self._lose, file.path.name))
        file.position = file.path.stat().st_size

    def _lose(self, where: str, what: str, why: str, alike: str = '') -> None:
        loss = Loss(f'{self.name}/{where}' if self.path.is_dir() and where else
                    where or self.name, what, why)
        if loss in self._known_losses:
            return
        if len(self._known_losses) < _MOST_LOSSES:
            self._known_losses.add(loss)
        key = (where, alike or f'{what}: {why}')
        place, first, count = self._alike.get(key, (len(self.losses), loss, 0))
        if count:
            self.losses[place] = replace(first, what=f'{first.what}, and {count} more like it')
        elif len(self._alike) < _MOST_LISTED:
            self.losses.append(loss)
        else:
            self._lose_unlisted()
            return
        self._alike[key] = place, first, count + 1

    def _lose_unlisted(self) -> None:
        more = 1
        if len(self.losses) > len(self._alike):
            more += int(self.losses.pop().what.split()[0])
        self.losses.append(Loss(self.name, f'{more} more', 'too many to list'))

    def _look(self, metadata: Metadata) -> list[Topic]:
        """List the topics, and note when each file begins."""
        deadline = Deadline(_LOOK_SECONDS)
        looks: list[Look] = []
        firsts: dict[str, RawMessage] = {}
        listed = {c.topic: c for c in metadata.channels}
        images = {c.topic for c in listed.values() if c.msgtype in IMAGE_TYPES and c.count}
        for path in self._paths:
            start_ns = metadata.starts_ns.get(path.name.removesuffix('.zstd'))
            if not (listed and images <= firsts.keys() and start_ns is not None) \
                    and not deadline.passed:
                look = self._glance(path, deadline)
                looks.append(look)
                firsts = look.firsts | firsts
                start_ns = look.start_ns if start_ns is None else start_ns
            self._starts_ns.append(start_ns)
        channels = _joined(looks, whole=len(looks) == len(self._paths)) | listed
        return [
            Topic(c.topic, c.msgtype, c.count, _encoding(firsts.get(c.topic)))
            for _, c in sorted(channels.items())
        ]

    def _glance(self, path: Path, deadline: Deadline) -> Look:
        try:
            return open_file(path).look(deadline)
        except SourceError:
            raise
        # What is wrong with the file comes to light when it is read.
        except Exception as error:
            self._lose(path.name, 'perhaps all of it', f'{type(error).__name__}: {error}')
            return Look()


def open_bag(path: Path | str) -> Bag:
    """
    Open a bag; no file stays open but while messages are read.

    :raises SourceError: there is no bag, or nothing in it can be read.
    """
    path = Path(path)
    try:
        return Bag(path)
    except OSError as error:
        raise SourceError(
            f'{path}: expected a readable bag, found that the system refuses it ({error}); '
            'check its permissions and the disk') from error


def _undisturbed(
    file: StorageFile, names: Collection[str], deadline: Deadline
) -> Iterator[RawMessage]:
    """Give rare messages until something goes wrong."""
    try:
        yield from file.sparse(names, deadline)
    except SourceError:
        raise
    # A glance has no losses to report: what is damaged comes to light when the file is read.
    except Exception:
        return


def _joined(looks: list[Look], *, whole: bool) -> dict[str, Channel]:
    """Join what several files say; counts only where all of them have some."""
    channels: dict[str, Channel] = {}
    counted = whole and all(look.counted or not look.channels for look in looks)
    for channel in (c for look in looks for c in look.channels):
        known = channels.get(channel.topic)
        if known is None or not known.msgtype:
            channels[channel.topic] = channel if counted else replace(channel, count=0)
        elif counted:
            channels[channel.topic] = replace(known, count=known.count + channel.count)
    return channels


def _encoding(first: RawMessage | None) -> str:
    if first is None:
        return ''
    try:
        message, _ = deserialize(first)
    except UnreadableMessage:
        return ''
    return str(message.encoding if first.channel.msgtype == IMAGE else message.format)
