"""The few loops of the mixture that numpy cannot do in one pass: compiled where numba is there, else in numpy.

Both give the same to the precision of their arrays; the compiled ones are the faster.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

_NAME = "kernels_numpy" if importlib.util.find_spec("numba") is None else "kernels_compiled"
_LOOPS: Any = importlib.import_module(f"thresher.density.{_NAME}")

add_column_sums = _LOOPS.add_column_sums
add_weighted = _LOOPS.add_weighted
row_sums = _LOOPS.row_sums
scaled_rows = _LOOPS.scaled_rows
shift_below_peak = _LOOPS.shift_below_peak
subtract_squares = _LOOPS.subtract_squares
