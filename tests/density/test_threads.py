"""Matrix products of the mixture keep to their own thread, whichever library computes them."""

from __future__ import annotations

import subprocess
import sys

#: In a process of its own, where no library is loaded yet.
PROGRAM = """
import numpy as np
from threadpoolctl import threadpool_info
from thresher.density.mixture import Mixture, log_density, mapped_without_blas

def blas_threads(_):
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

mixture = Mixture(np.ones(1), np.zeros((1, 40)), np.ones((1, 40)))
log_density(mixture, np.zeros((400, 40), np.float32))
with mapped_without_blas(2) as mapped:
    print(*list(mapped(blas_threads, [0]))[0])
"""


def test_every_library_of_products_is_limited_to_one_thread() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"1"}
