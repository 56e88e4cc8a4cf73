"""The few loops of the mixture that numpy cannot do in one pass: compiled where numba is there, else in numpy.

Both give the same to the precision of their arrays; the compiled ones are the faster. Numba is imported when the first
loop is run: who only asks for the settings of a fit should not wait for it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any


@functools.cache
def loops() -> Any:
    """The module whose loops are used here."""
    name = "kernels_numpy" if importlib.util.find_spec("numba") is None else "kernels_compiled"
    return importlib.import_module(f"thresher.density.{name}")


def _on_demand(name: str) -> Callable[..., Any]:
    def loop(*arrays: Any) -> Any:
        return getattr(loops(), name)(*arrays)

    return loop


add_column_sums = _on_demand("add_column_sums")
add_products = _on_demand("add_products")
add_weighted = _on_demand("add_weighted")
diagonal_exponent = _on_demand("diagonal_exponent")
row_sums = _on_demand("row_sums")
scaled_rows = _on_demand("scaled_rows")
shift_below_peak = _on_demand("shift_below_peak")
subtract_squares = _on_demand("subtract_squares")
