"""How slow this machine is at the moment, for estimates of time."""

from __future__ import annotations

import functools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

#: How long `slowness` looks, and what a product of 256 × 256 took on the machine of the constants.
SLOWNESS_SECONDS, PRODUCT_SECONDS = 0.5, 3e-4


@functools.cache
def slowness(threads: int) -> float:
    """How many times longer work takes here and now, on so many threads, than on the idle machine of the constants.

    The wait for a processor, which is measured for half a second, times how slow the processor is while it works. The
    second is bounded: products of matrices, by which it is measured, suffer more from neighbours than most work does.
    """
    a = np.ones((256, 256), np.float32)

    def work(_: int) -> tuple[float, float]:
        started, spent, products = time.perf_counter(), time.thread_time(), 0
        while time.perf_counter() - started < SLOWNESS_SECONDS:
            a @ a
            products += 1
        wall, spent = time.perf_counter() - started, time.thread_time() - spent
        return wall / spent, spent / products / PRODUCT_SECONDS

    with ThreadPoolExecutor(threads) as pool, threadpool_limits(1):
        waits, paces = zip(*pool.map(work, range(threads)), strict=True)
    return float(statistics.mean(waits) * np.clip(statistics.mean(paces), 0.5, 1.5))
