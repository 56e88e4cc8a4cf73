"""A worker on a Ray cluster: an actor that answers a line of text with a line."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any

from thresher import extras
from thresher.errors import DataError, SettingsError
from thresher.workers.line_process import ONE_THREAD, DiedError
from thresher.workers.serve import answerer_of
from thresher.workers.settings import EngineSettings

log = logging.getLogger(__name__)
#: How often in a row an actor may fail to start.
_STARTS = 3
#: Seconds between looks at whether work has been interrupted.
_PATIENCE_S = 1.0


class _Actor:
    """What lives on the cluster: the function that a worker module offers."""

    def __init__(self, module: str, first_line: str) -> None:
        self._answer = answerer_of(module, first_line)

    def ready(self) -> None:
        """Return once the actor has started."""

    def answer(self, line: str) -> str:
        """The answer to a line."""
        return self._answer(line)


class RayWorker:
    """An actor, replaced when it dies: out of memory, by a crash, or with its node."""

    def __init__(self, new_actor: Callable[[], Any]) -> None:
        """Start nothing yet; `new_actor` starts an actor."""
        self._new_actor = new_actor
        self._actor: Any = None
        self._ending = False

    def open(self) -> None:
        """Wait until the actor runs, so that no task waits for one that the cluster has no room for.

        Raises:
            DataError: it ends as it starts, time and again.
        """
        import ray

        failures = 0
        while self._actor is None and not self._ending:
            actor = self._new_actor()
            try:
                self._result(actor.ready.remote())
                self._actor = actor
            except (ray.exceptions.RayError, DiedError) as error:
                _kill(actor)
                failures += 1
                if failures == _STARTS:
                    raise DataError(f"Ray: a worker failed to start {_STARTS} times: {_in_words(error)}") from error

    def answer(self, line: str) -> str:
        """The answer to a line.

        Raises:
            DiedError: the actor ended before it had answered, or `end` was called.
        """
        import ray

        try:
            return str(self._result(self._actor.answer.remote(line)))
        except ray.exceptions.RayError as error:
            self.close()
            raise DiedError(_in_words(error)) from error

    def _result(self, reference: Any) -> Any:
        """What a call of the actor gives; a wait in steps, as an actor without room never answers, nor ever fails."""
        import ray

        while not self._ending:
            done, _ = ray.wait([reference], timeout=_PATIENCE_S)
            if done:
                return ray.get(reference)
        raise DiedError("interrupted")

    def end(self) -> None:
        """Give up waiting, from any thread; no actor is started any more."""
        self._ending = True

    def close(self) -> None:
        """Kill the actor."""
        if self._actor is not None:
            _kill(self._actor)
        self._actor = None


def _kill(actor: Any) -> None:
    import ray

    with contextlib.suppress(ray.exceptions.RayError, ValueError):  # it has ended already
        ray.kill(actor)


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}"


def ray_workers(engine: EngineSettings, module: str, first_line: str) -> tuple[int, Callable[[], RayWorker]]:
    """How many workers are to be opened on the cluster, and what makes one. Connects to the cluster.

    Raises:
        SettingsError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise SettingsError(f"engine = 'ray': Ray is not installed: {extras.install('ray')}") from None
    if not ray.is_initialized():
        ray.init(address=engine.address or os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    remote: Any = ray.remote(
        num_cpus=engine.worker_cpus, num_gpus=engine.worker_gpus, runtime_env={"env_vars": ONE_THREAD}
    )(_Actor)
    size = engine.workers or workers_that_fit(ray.cluster_resources(), engine)
    if size == 0:
        log.warning(
            "Ray: the cluster has no room yet for a worker of %g CPUs and %g GPUs; waiting for it",
            engine.worker_cpus,
            engine.worker_gpus,
        )
    return max(1, size), lambda: RayWorker(lambda: remote.remote(module, first_line))


def workers_that_fit(resources: dict[str, float], engine: EngineSettings) -> int:
    """How many workers a cluster has room for, by its CPUs and GPUs.

    >>> workers_that_fit({"CPU": 16.0, "GPU": 2.0}, EngineSettings(worker_cpus=4, worker_gpus=1))
    2
    """
    asked = {"CPU": engine.worker_cpus, "GPU": engine.worker_gpus}
    limits = [int(resources.get(name, 0) // each) for name, each in asked.items() if each > 0]
    return min(limits, default=int(resources.get("CPU", 1)))
