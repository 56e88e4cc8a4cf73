"""The jobs of a comparison done by workers, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from thresher.comparison.job import Job, Outcome
from thresher.errors import SettingsError
from thresher.workers.pool import Pool, pool
from thresher.workers.settings import EngineSettings

#: How often a job is started again whose worker died on a cluster, where nodes come and go. On this machine a worker
#: dies of its own job, which would kill the next one as well.
_RETRIES = {"local": 0, "ray": 3}


@dataclass(frozen=True)
class Crew:
    """Workers that do jobs."""

    opened: Pool
    retries: int

    @property
    def at_once(self) -> int:
        """How many jobs are done at the same time."""
        return self.opened.size

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Each job's outcome, in the order in which they end. A training that is started again goes on from its last
        checkpoint.
        """
        for answer in self.opened.answers([json.dumps(dataclasses.asdict(job)) for job in jobs], self.retries):
            if answer.died:
                yield Outcome(jobs[answer.number].training["name"], answer.died)
            else:
                yield Outcome(**json.loads(answer.text))


@contextlib.contextmanager
def crew(engine: EngineSettings) -> Iterator[Crew]:
    """Context manager yielding workers that do jobs; on exit, jobs still running are killed.

    Raises:
        SettingsError: the engine is not installed, or it exchanges files through a store.
    """
    if engine.store:
        raise SettingsError(
            f"store = {engine.store}: the workers of a comparison exchange networks and tables through the run's "
            "folder. Leave store out, and put the run on a disk that all workers share."
        )
    with pool("thresher.comparison.job", "", engine) as opened:
        yield Crew(opened, _RETRIES[engine.engine])
