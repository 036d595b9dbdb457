# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb ``record`` and the node edgevl_record: camera topics into a rosbag2, undecoded.

ROS is imported where it is needed, so that ``edgevl record --help`` works without it. Callbacks
only count, choose and hand over; `recording.writing` has the threads that write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import importlib
import sys
import threading
import time
from typing import Any

from edgevl_ros.core.errors import EdgeVLError
from edgevl_training.errors import RecipeError
from edgevl_training.recipe import parse
from edgevl_training.recording import parameters
from edgevl_training.recording.counts import Counts, final_report
from edgevl_training.recording.folders import check_writable
from edgevl_training.recording.losses import LossWatch
from edgevl_training.recording.messages import Message, Topic
from edgevl_training.recording.qos import describe, Request, request_for
from edgevl_training.recording.recipe import RecordRecipe
from edgevl_training.recording.repair import complete_bags
from edgevl_training.recording.selection import Scenes, selection_for
from edgevl_training.recording.signals import end_on_signals
from edgevl_training.recording.space import GB, SpaceGuard
from edgevl_training.recording.status import status_of
from edgevl_training.recording.topics import TopicFinder, Wanted, wanted_topics
from edgevl_training.recording.writing import Recording

NODE_NAME = 'edgevl_record'
ROS_ARGUMENTS = '--ros-args'
# How much the middleware may hold while callbacks are late.
_DEPTH = 30
_TICK_S, _DISCOVER_S, _REPORT_S = 0.1, 0.25, 1.0
_LOG_LOSSES_S = 10.0


def run(arguments: list[str]) -> int:
    """Record until Ctrl-C; 1 when nothing was recorded."""
    from edgevl_training.cli import VERBS

    at = arguments.index(ROS_ARGUMENTS) if ROS_ARGUMENTS in arguments else len(arguments)
    recipe = parse(RecordRecipe, 'record', arguments[:at], tuple(VERBS))

    def recipe_of(node: Any) -> RecordRecipe:
        parameters.refuse_parameters(filter(node.has_parameter, RecordRecipe.model_fields))
        return recipe

    return _record(
        recipe_of, arguments[at:], automatically_declare_parameters_from_overrides=True
    )


def main_node() -> int:
    """Run the node, whose parameters are the recipe; 0 when a signal ended it."""
    try:
        _record(declare_parameters, sys.argv[1:])
    except EdgeVLError as error:
        print(f'{NODE_NAME}: cannot start: {error}', file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f'{NODE_NAME}: expected the Python package {error.name!r}, found none; source a ROS 2 '
            "installation, and pip install 'edgevl_ros[record]'", file=sys.stderr,
        )
        return 1
    return 0


def declare_parameters(node: Any) -> RecordRecipe:
    """
    Declare a read-only parameter for every option and read those the node was started with.

    :raises RecipeError: when one of them does not fit.
    """
    from rcl_interfaces.msg import ParameterDescriptor

    texts = parameters.descriptions()
    # A whole number is a fine number of seconds: the recipe knows what fits, ROS need not.
    values = {
        name: node.declare_parameter(name, default, ParameterDescriptor(
            description=texts[name], read_only=True, dynamic_typing=True
        )).value
        for name, default in parameters.parameter_defaults().items()
    }
    return parameters.recipe_from(values)


def _record(
    recipe_of: Callable[[Any], RecordRecipe], ros_arguments: Sequence[str], **node_options: Any
) -> int:
    with end_on_signals() as ended:
        notes = _record_until(ended, recipe_of, ros_arguments, node_options)
        print(final_report(notes), flush=True)
    return 0 if any(counts['written'] for counts in notes['topics'].values()) else 1


def _record_until(
    ended: threading.Event, recipe_of: Callable[[Any], RecordRecipe],
    ros_arguments: Sequence[str], node_options: Mapping[str, Any],
) -> dict[str, Any]:
    """Set ROS up, record and give the notes of the bag."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    try:
        rclpy.init(args=list(ros_arguments), signal_handler_options=SignalHandlerOptions.NO)
        node = rclpy.create_node(NODE_NAME, **node_options)
        recorder = Recorder(node, recipe_of(node))
    except (EdgeVLError, ImportError):
        raise
    # Each part of ROS has its own exceptions for bad arguments, names and parameters.
    except Exception as error:  # noqa: B902
        raise RecipeError(f'ROS refuses the node: {error}') from error
    else:
        return _spin(node, recorder, ended)
    finally:
        rclpy.try_shutdown()


def _spin(node: Any, recorder: Recorder, ended: threading.Event) -> dict[str, Any]:
    """Record until the end is asked for; give the notes of the bag."""
    from rclpy.executors import SingleThreadedExecutor

    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not ended.is_set() and not recorder.complete:
            executor.spin_once(timeout_sec=_TICK_S)
    finally:
        notes = recorder.stop()
        executor.remove_node(node)
        node.destroy_node()
    return notes


class Recorder:
    """Finds topics, subscribes to them and hands their messages over, all on one thread."""

    def __init__(self, node: Any, recipe: RecordRecipe) -> None:
        """
        Begin to look for topics, and to complete what an earlier recorder left.

        :raises OutputError: when nothing can be written where the recipe says.
        """
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.clock import Clock, ClockType

        check_writable(recipe.out)
        self._node = node
        self._recipe = recipe
        self._log = node.get_logger()
        self._counts = Counts()
        self._selection = selection_for(recipe, self._counts.triggers, time.monotonic())
        self._finder = TopicFinder(
            wanted_topics(recipe, node.resolve_topic_name), time.monotonic()
        )
        self._subscribed: dict[str, tuple[Topic, Request, Any]] = {}
        self._absent: list[str] = []
        self._unrecordable: dict[str, str] = {}
        self._deaf = False
        self._adapts = False
        self._losses = LossWatch(self._counts)
        self._losses_to_log = LossWatch(self._counts, _LOG_LOSSES_S)
        guard = SpaceGuard(recipe.out, recipe.min_free_gb, recipe.max_gb)
        self._recording = Recording(recipe, guard, self._counts, self._log)
        self._ending = threading.Event()
        self._repair = threading.Thread(target=self._complete_bags, daemon=True)
        self._repair.start()
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        if isinstance(self._selection, Scenes):
            self._listen_to_scenes(self._selection)
        # Recording goes on in a paused simulation too, so these timers do not use its clock.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        for period_s, callback in (
            (_TICK_S, self._tick), (_DISCOVER_S, self._discover), (_REPORT_S, self._adapt),
            (_REPORT_S, self._report),
        ):
            node.create_timer(period_s, callback, clock=clock)
        self._log.info(f'recording ({recipe.mode}) into {recipe.out}; Ctrl-C ends it')

    @property
    def complete(self) -> bool:
        """Tell whether the bag has its largest size."""
        return self._recording.complete

    def stop(self) -> dict[str, Any]:
        """End the subscriptions, complete the bag and give its notes, with what was missed."""
        self._ending.set()
        complaints = [*self._finder.explain(self._graph()), *self._unrecordable.values()]
        for _, _, subscription in self._subscribed.values():
            self._node.destroy_subscription(subscription)
        # What is held back for its partners will get no more of them.
        self._hand_over(self._selection.tick(float('inf')))
        notes = self._recording.stop()
        self._repair.join()
        return {**notes, 'complaints': complaints}

    def _complete_bags(self) -> None:
        complete_bags(
            self._recipe.out, self._recipe.min_free_gb * GB, self._log.info, self._ending.is_set
        )

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._hand_over(self._selection.tick(now_s))
        if self._adapts:
            self._adapts = False
            self._adapt()
        if isinstance(self._selection, Scenes) and self._selection.is_deaf(now_s) != self._deaf:
            self._deaf = not self._deaf
            if self._deaf:
                self._log.warning(self._selection.deafness)
            else:
                self._log.info(f'scenes come on {self._recipe.scene_topic}')

    def _on_message(self, topic: Topic, data: bytes) -> None:
        self._counts.received[topic.name] += 1
        message = Message(topic, time.time_ns(), time.monotonic(), data)
        self._hand_over(self._selection.feed(message))

    def _hand_over(self, messages: Any) -> None:
        for message in messages:
            self._recording.put(message)

    def _discover(self) -> None:
        graph = self._graph()
        now_s = time.monotonic()
        for wanted, name, message_type in self._finder.find(graph, now_s):
            if self._subscribe(wanted, name, message_type):
                self._finder.settle(wanted)
        self._absent, due = self._finder.complaints(graph, now_s)
        for complaint in self._absent if due else ():
            self._log.warning(complaint)

    def _graph(self) -> Mapping[str, Sequence[str]]:
        """Give the topics that somebody publishes; the graph knows the awaited ones too."""
        return {
            name: types for name, types in self._node.get_topic_names_and_types()
            if self._node.count_publishers(name)
        }

    def _publishers_of(self, name: str, message_type: str) -> list[Any]:
        infos = self._node.get_publishers_info_by_topic(name)
        return [info for info in infos if info.topic_type == message_type]

    def _subscribe(self, wanted: Wanted, name: str, message_type: str) -> bool:
        """Subscribe to a topic as its publishers offer it; False when that must wait."""
        if name in self._subscribed:
            return True
        publishers = self._publishers_of(name, message_type)
        if not publishers:
            return False
        topic = describe(name, message_type, wanted.role, publishers)
        request = request_for([info.qos_profile for info in publishers])
        try:
            self._open(topic, request)
        except (ImportError, AttributeError) as error:
            self._unrecordable[name] = f'{name}: {message_type} is not installed here ({error})'
            self._log.error(self._unrecordable[name])
            return True
        self._recording.register(topic)
        self._log.info(f'{name}: {message_type}, {request}')
        return True

    def _adapt(self) -> None:
        """Ask for less where a new publisher offers less, or it would not be heard."""
        for name, (topic, request, subscription) in list(self._subscribed.items()):
            infos = self._publishers_of(name, topic.message_type)
            offered = request_for([info.qos_profile for info in infos])
            least = Request(*(mine and theirs for mine, theirs in zip(request, offered)))
            if least != request:
                self._log.info(f'{name}: a publisher offers less; now {least}')
                self._node.destroy_subscription(subscription)
                self._open(topic, least)

    def _open(self, topic: Topic, request: Request) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

        package, _, name = topic.message_type.partition('/msg/')
        profile = QoSProfile(
            depth=_DEPTH,
            reliability=(
                ReliabilityPolicy.RELIABLE if request.reliable else ReliabilityPolicy.BEST_EFFORT
            ),
            durability=(
                DurabilityPolicy.TRANSIENT_LOCAL
                if request.transient_local else DurabilityPolicy.VOLATILE
            ),
        )
        message_type = getattr(importlib.import_module(f'{package}.msg'), name)
        subscription = self._create_subscription(
            message_type, topic.name, lambda data: self._on_message(topic, data), profile
        )
        self._subscribed[topic.name] = (topic, request, subscription)

    def _create_subscription(self, kind: type, name: str, callback: Any, profile: Any) -> Any:
        """Subscribe undecoded, and count what is lost on the way if the middleware tells."""
        try:
            from rclpy import event_handler as events
        except ImportError:  # Humble
            from rclpy import qos_event as events

        def on_lost(event: Any) -> None:
            self._counts.lost[name] += event.total_count_change

        def on_incompatible(_: Any) -> None:
            # Not at once: the subscription to be replaced is the one that calls.
            self._adapts = True

        callbacks = events.SubscriptionEventCallbacks(
            message_lost=on_lost, incompatible_qos=on_incompatible
        )
        try:
            return self._node.create_subscription(
                kind, name, callback, profile, raw=True, event_callbacks=callbacks
            )
        except events.UnsupportedEventTypeError:
            return self._node.create_subscription(kind, name, callback, profile, raw=True)

    def _listen_to_scenes(self, selection: Scenes) -> None:
        try:
            from vision_msgs.msg import Classification
        except ImportError as error:
            self._log.error(f'vision_msgs is not installed here ({error}); no scene can be heard')
            return

        def on_scene(scene: Any) -> None:
            stamp = scene.header.stamp
            scores = [(result.class_id, result.score) for result in scene.results]
            selection.hear(stamp.sec * 10**9 + stamp.nanosec, scores, time.monotonic())

        self._node.create_subscription(Classification, self._recipe.scene_topic, on_scene, 10)

    def _report(self) -> None:
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

        now_s = time.monotonic()
        for news in self._losses_to_log.news(now_s):
            self._log.warning(news)
        complaints = [
            *self._absent, *self._unrecordable.values(), *self._losses.news(now_s)
        ]
        if self._deaf and isinstance(self._selection, Scenes):
            complaints.append(self._selection.deafness)
        status = status_of(self._recording, complaints)
        message = DiagnosticArray(status=[DiagnosticStatus(
            level=bytes([status.level]), name=f'{self._node.get_name()}: recording',
            message=status.message, hardware_id=str(self._recipe.out),
            values=[KeyValue(key=key, value=value) for key, value in status.values.items()],
        )])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(message)


if __name__ == '__main__':
    sys.exit(main_node())
