# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node edgevl_perception: camera topics in, open-vocabulary scene labels out."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import os
import signal
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from edgevl_ros.backends.engine_attempts import forgive
from edgevl_ros.backends.starting import begin_upgrade, open_first
from edgevl_ros.backends.upgrade import Upgrade
from edgevl_ros.core.bundle import Bundle, check_golden
from edgevl_ros.core.errors import BackendError, EdgeVLError
from edgevl_ros.core.frame import Modality
from edgevl_ros.core.mailbox import Mailbox
from edgevl_ros.core.perception import Perception
from edgevl_ros.core.settings import Settings
from edgevl_ros.nodes import messages, overlay, parameters
from edgevl_ros.nodes.camera_input import CameraInput, CameraPair, LOG_PERIOD_S
from edgevl_ros.nodes.diagnostics import Observation, Report, report, silence
from edgevl_ros.nodes.statistics import Statistics
from edgevl_ros.nodes.worker import Labelled, Worker
from rcl_interfaces.msg import SetParametersResult
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String
from vision_msgs.msg import Classification, LabelInfo

NODE_NAME = 'edgevl_perception'
STOP_TIMEOUT_S = 5.0
EXIT_TIMEOUT_S = 0.5
LONGEST_AGE_S = 60.0
LATCHED = QoSProfile(
    depth=1,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    reliability=ReliabilityPolicy.RELIABLE,
)


class PerceptionNode(LifecycleNode):
    """
    Labels what a camera sees, in the words that its owner chose.

    Configuring opens and verifies the bundle, activating starts the flow of frames, cleaning up
    frees everything. The executor's thread checks, pairs and hands over; one worker thread
    infers and publishes.
    """

    def __init__(self, **kwargs: Any) -> None:
        """
        Declare parameters and publishers; no bundle is opened yet.

        :raises SettingsError: when a parameter the node was started with does not fit.
        """
        super().__init__(NODE_NAME, **kwargs)
        self._settings = parameters.declare(self)
        self._perception: Perception | None = None
        self._upgrade: Upgrade | None = None
        self._bundle_name = ''
        self._flow: _Flow | None = None
        self._left_behind: _Flow | None = None
        # Of TensorRT, inside which it does not come back from.
        self._thread_left_behind = False
        self._statistics = Statistics()
        self._reported: Observation | None = None
        self._failure = ''
        self._scene_publisher = self.create_lifecycle_publisher(Classification, '~/scene', 10)
        self._label_publisher = self.create_lifecycle_publisher(String, '~/label', LATCHED)
        self._info_publisher = self.create_lifecycle_publisher(LabelInfo, '~/label_info', LATCHED)
        self._overlay_publisher = self.create_lifecycle_publisher(Image, '~/overlay', 1)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._answer_impossible_transitions()
        # Health must be told in a paused simulation too, so this timer does not use its clock.
        self.create_timer(
            1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    @property
    def autostart(self) -> bool:
        """Tell whether the node is to configure and activate itself."""
        return self._settings.autostart

    def start(self) -> None:
        """Configure and activate; a failure is logged and leaves the node up."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the bundle, verify it on the backend and build the vocabulary."""
        started = time.monotonic()
        try:
            self._perception = self._open_perception()
        # rclpy swallows what a transition raises, so the reason is told here or nowhere.
        except Exception as error:  # noqa: B902
            return self._fail('cannot configure', error)
        self._failure = ''
        self.get_logger().info(
            f'configured in {time.monotonic() - started:.1f} s: bundle {self._bundle_name} on '
            f'{self._perception.backend_name}, {len(self._perception.vocabulary.labels)} labels'
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera and start the worker."""
        assert self._perception is not None
        try:
            self._check_last_worker_ended()
            self._flow = _Flow(self, self._perception)
        except Exception as error:  # noqa: B902 - as in on_configure
            return self._fail('cannot activate', error)
        self._failure = ''
        result = super().on_activate(state)
        self._publish_label_info()
        topics = ', '.join(stream.topic for stream in self._flow.camera.streams)
        self.get_logger().info(f'active: listening on {topics}')
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the flow; the bundle stays open."""
        self._stop_flow(STOP_TIMEOUT_S)
        self.get_logger().info('inactive')
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the bundle and the backend, and forget the counts."""
        self.release()
        self._statistics = Statistics()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the flow and free everything, from whatever state."""
        self.release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, so that the node can be configured again."""
        self.get_logger().error('a transition failed; the node is unconfigured again')
        self.release()
        return super().on_error(state)

    def release(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """
        Stop the flow and free the bundle and the backend; harmless when there is neither.

        :returns: False when inference has not returned in time and its thread is left behind, or
            that of TensorRT; now or ever.
        """
        deadline_s = time.monotonic() + timeout_s
        if self._upgrade is not None:
            # Told first: the flow may wait for what it measures.
            self._upgrade.cancel(0.0)
        self._stop_flow(timeout_s)
        if self._upgrade is not None:
            if not self._upgrade.cancel(max(0.0, deadline_s - time.monotonic())):
                self._log_backend('TensorRT has not returned; its thread is left behind', True)
                self._thread_left_behind = True
            self._upgrade = None
        if self._perception is not None:
            if not self._perception.close():
                self._thread_left_behind = True
            self._perception = None
            self._bundle_name = ''
        return not self._thread_left_behind and self._last_worker_ended()

    def report_bad(self, modality: Modality, reason: str) -> None:
        """Count and log an image that cannot be used; called from both threads."""
        self._statistics.bad(modality, reason)
        self._log_problem(f'{modality.value} image not used: {reason}')

    def report_unusable(self, reason: str) -> None:
        """Count a frame in which there was nothing to label; called from the worker."""
        self._statistics.unusable(reason)
        self._log_problem(reason)

    def report_failure(self, error: Exception) -> None:
        """Count and log a frame that could not be labelled; called from the worker."""
        if not rclpy.ok(context=self.context):
            return
        self._statistics.failed(f'{type(error).__name__}: {error}')
        self.get_logger().error(
            f'frame not labelled: {type(error).__name__}: {error}',
            throttle_duration_sec=LOG_PERIOD_S,
        )

    def publish(self, labelled: Labelled) -> None:
        """Publish a scene; called from the worker."""
        scene, header = labelled.scene, labelled.header
        self._scene_publisher.publish(messages.classification(scene, header))
        self._label_publisher.publish(String(data=scene.label))
        self._statistics.labelled(
            scene.label,
            self._age_s(scene.stamp_ns),
            labelled.processing_s,
            scene.timings_s['inference'],
        )
        if self._overlay_publisher.get_subscription_count():
            picture = overlay.draw(labelled.frame, scene)
            self._overlay_publisher.publish(messages.color_image(picture, header))

    def _age_s(self, stamp_ns: int) -> float | None:
        """Give the seconds since a stamp; None when it was not taken by the node's clock."""
        age_s = (self.get_clock().now().nanoseconds - stamp_ns) * 1e-9
        return age_s if 0 <= age_s < LONGEST_AGE_S else None

    def max_rate(self) -> float:
        """Give the most frames to label in a second, 0 for no limit; called from the worker."""
        return self._settings.max_rate

    @property
    def settings(self) -> Settings:
        """Give the settings in use."""
        return self._settings

    @property
    def statistics(self) -> Statistics:
        """Give the counts since the node was configured."""
        return self._statistics

    def _open_perception(self) -> Perception:
        settings = self._settings
        bundle = Bundle.open(settings.bundle)
        with contextlib.ExitStack() as undo:
            backend = open_first(settings, bundle, self._log_backend)
            undo.callback(backend.close)
            check_golden(bundle, backend)
            perception = Perception(bundle, backend, settings)
            undo.pop_all()
        self._upgrade = begin_upgrade(settings, bundle, backend, self._log_backend)
        self._bundle_name = bundle.name
        return perception

    def _fail(self, what: str, error: Exception) -> TransitionCallbackReturn:
        """Log why a transition fails, keep it for /diagnostics, and stay in the state before."""
        name = '' if isinstance(error, EdgeVLError) else f'{type(error).__name__}: '
        self._failure = f'{what}: {name}{error}'
        self.get_logger().error(self._failure)
        return TransitionCallbackReturn.FAILURE

    def _stop_flow(self, timeout_s: float) -> None:
        self._reported = None
        if self._flow is None:
            return
        flow, self._flow = self._flow, None
        if not flow.stop(timeout_s):
            self._left_behind = flow
            self.get_logger().error(
                f'inference has not returned for {timeout_s} s; its thread is left behind'
            )

    def _last_worker_ended(self) -> bool:
        return self._left_behind is None or self._left_behind.stop(0.0)

    def _check_last_worker_ended(self) -> None:
        """Refuse to let two workers share one student."""
        if not self._last_worker_ended():
            raise BackendError(
                'expected inference of the last activation to be over, found it still in the '
                'runtime; try again later, or restart the node'
            )
        self._left_behind = None

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        """Check everything, then change everything: a refusal leaves all as it was."""
        try:
            settings = parameters.changed(
                self._settings, changes, configured=self._perception is not None
            )
            choices = self._perception.prepare(settings) if self._perception else None
        except EdgeVLError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._settings = settings
        if self._perception is not None and choices is not None:
            self._perception.use(choices)
            self._publish_label_info()
        return SetParametersResult(successful=True)

    def _publish_label_info(self) -> None:
        if self._perception is None:
            return
        header = Header(stamp=self.get_clock().now().to_msg())
        self._info_publisher.publish(
            messages.label_info(
                self._perception.vocabulary, header, self._settings.min_probability
            )
        )

    def _publish_diagnostics(self) -> None:
        judged = self._judge()
        hardware = self._perception.backend_name if self._perception else 'none'
        status = judged.status(f'{self.get_name()}: perception', hardware)
        self._diagnostics_publisher.publish(
            DiagnosticArray(
                header=Header(stamp=self.get_clock().now().to_msg()), status=[status]
            )
        )

    def _judge(self) -> Report:
        if self._flow is None:
            _, state = self._state_machine.current_state
            level = DiagnosticStatus.ERROR if self._failure else DiagnosticStatus.OK
            return Report(level, self._failure or state, self._configuration())
        now = self._flow.observe(self._statistics)
        judged = report(now, self._reported, self._flow.complaints(now))
        self._reported = now
        return Report(
            judged.level, judged.message, {**self._configuration(), **judged.values}
        )

    def _configuration(self) -> dict[str, str]:
        """Tell what labels, and how far or how the way to something better went."""
        values = {'bundle': self._bundle_name}
        if self._perception is not None:
            values['backend'] = self._perception.backend_name
        if self._upgrade is not None:
            values['TensorRT'] = self._upgrade.status
        return values

    def _log_backend(self, line: str, warning: bool) -> None:
        """Log what happens to the backend; called from any thread."""
        if not rclpy.ok(context=self.context):
            return
        if warning:
            self.get_logger().warning(line)
        else:
            self.get_logger().info(line)

    def _log_problem(self, problem: str) -> None:
        self.get_logger().warning(problem, throttle_duration_sec=LOG_PERIOD_S)

    def _answer_impossible_transitions(self) -> None:
        """Answer a transition that the state lacks with a refusal; rclpy ends the process."""
        service = self._service_change_state
        change_state = service.callback

        def answer(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except RuntimeError as error:  # rclpy's RCLError
                self.get_logger().error(f'transition refused: {error}')
                response.success = False
                return response

        service.callback = answer


class _Flow:
    """What an active node has more than an inactive one."""

    def __init__(self, node: PerceptionNode, perception: Perception) -> None:
        """Subscribe and start the worker."""
        self._since_s = time.monotonic()
        self._mailbox: Mailbox[CameraPair] = Mailbox()
        perception.reset()
        self.camera = CameraInput(
            node, node.settings, perception, self._mailbox, node.statistics, node.report_bad
        )
        self._worker = Worker(
            self._mailbox,
            perception,
            max_rate=node.max_rate,
            publish=node.publish,
            report_bad=node.report_bad,
            report_unusable=node.report_unusable,
            report_failure=node.report_failure,
        )

    def observe(self, statistics: Statistics) -> Observation:
        """Read all counts at this moment."""
        return Observation(statistics.snapshot(), self.camera.counts, self._mailbox.replaced)

    def complaints(self, now: Observation) -> list[str]:
        """Say what keeps images from coming, if nothing comes."""
        complaints = [
            f'{topic}: incompatible QoS ({policy})'
            for topic, policy in self.camera.incompatible_qos_of_silent_topics().items()
        ]
        if silence(now.counts, self._since_s):
            complaints.append(self.camera.explain_silence())
        return complaints

    def stop(self, timeout_s: float) -> bool:
        """End subscriptions and worker; False when the worker does not end in time."""
        self.camera.close()
        return self._worker.stop(timeout_s)


def spin(node: PerceptionNode) -> None:
    """Serve a node until it is told to stop."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.autostart:
            node.start()
        executor.spin()
    finally:
        # The end is near; a second Ctrl-C must not make it an ugly one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ended = node.release(EXIT_TIMEOUT_S)
        executor.remove_node(node)
        node.destroy_node()
        if not ended:
            _leave()


def _leave() -> None:
    """
    End the process at once.

    A thread that is still inside an inference runtime would abort the interpreter's own ending.
    """
    forgive()
    rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the node.

    :returns: 0 when Ctrl-C or SIGTERM ended it, 1 when it could not start for a reason printed.
    """
    initialised = False
    node = None
    try:
        rclpy.init(args=arguments)
        initialised = True
        node = PerceptionNode()
        spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    # Each part of ROS has its own exceptions for bad arguments, names and parameters.
    except Exception as error:  # noqa: B902
        # rclpy raises its RCLError where a signal ends the context in the middle of a call.
        if initialised and not rclpy.ok():
            return 0
        if node is not None:
            raise
        print(f'{NODE_NAME}: cannot start: {error}', file=sys.stderr)
        return 1
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
