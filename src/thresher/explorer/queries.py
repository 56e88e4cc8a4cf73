"""What the reviewer looks for: a picture of one's own, or words. The pool's images are ordered by cosine to it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from thresher.errors import DataError, SettingsError, quoted
from thresher.explorer.columns import Columns
from thresher.explorer.gallery_views import Rows
from thresher.explorer.kept import Kept
from thresher.explorer.rows import RunRows
from thresher.features.one_picture import FORMATS, PictureNetwork, embeds_pictures
from thresher.features.words import TextEncoder
from thresher.settings import as_type
from thresher.vectors import nearest_rows

#: A larger picture is refused.
PICTURE_BYTES = 32_000_000
#: Number of queries whose cosines are kept in memory.
_KEPT = 4


@dataclass(frozen=True)
class Likeness:
    """The cosine of each image of the pool to what is looked for."""

    cosines: Float32[np.ndarray, " pool"]
    """−1..1; NaN for images that embed could not read."""
    order: Rows
    """The rows that have one, the highest first, of equals the first first."""

    def ordered(self, rows: Rows, nearest: int | None = None) -> Rows:
        """Those of the rows that are among the `nearest` of the whole pool (all by default), the most alike first."""
        within = np.zeros(len(self.cosines), bool)
        within[rows[rows < len(within)]] = True
        wanted = self.order[:nearest]
        found: Rows = wanted[within[wanted]]
        return found


class Queries:
    """What is looked for in a run; thread-safe."""

    def __init__(self, rows: RunRows, columns: Columns, words: TextEncoder | None) -> None:
        """Open nothing yet."""
        self._rows, self._columns, self._words = rows, columns, words
        self._network = PictureNetwork(rows.opened)
        self._kept = Kept[Likeness](_KEPT)

    def told(self) -> dict[str, Any]:
        """What can be looked for: whether words, whether a picture, and of which types and size."""
        types = [f"image/{name.lower()}" for name in FORMATS]
        offered = {"words": self._words is not None, "picture": embeds_pictures(self._rows.opened)}
        return offered | {"types": types, "most_bytes": PICTURE_BYTES}

    def picture(self, content: bytes) -> dict[str, Any]:
        """The vector of a picture, as `query` of a gallery takes it.

        Raises:
            SettingsError: no backbone, another type of file, or it cannot be read.
        """
        try:
            vector = self._network.vector(content).astype("<f4")
        except DataError as error:  # what was sent is at fault, not what lies here
            raise SettingsError(str(error)) from error
        return {"vector": base64.b64encode(vector.tobytes()).decode()}

    def of(self, ask: Mapping[str, Any]) -> Likeness | None:
        """The pool's likeness to the `query` of a request: an object with `vector`, or with `words`. None without one.

        Raises:
            SettingsError: no vector of the run's width, or words without a text encoder.
            DataError: embed has not run.
        """
        query = ask.get("query")
        if not query:
            return None
        if not isinstance(query, dict):
            raise SettingsError(f"query = {query!r}: expected an object with a vector, or with words.")
        kind = "words" if "words" in query else "vector"
        text = as_type(query.get(kind, ""), str, kind)
        return self._kept.of((kind, text), lambda: self._likeness(self._vector(kind, text)))

    def _vector(self, kind: str, text: str) -> Float32[np.ndarray, " c"]:
        if kind == "vector":
            return _vector_of(text)
        if self._words is None:
            raise SettingsError(
                "words: this explorer was opened without a text encoder. Open it with "
                f"`thresher explore {quoted(self._rows.opened.run.folder)} --text-encoder FILE.onnx --tokenizer "
                "FILE.json`."
            )
        return self._words.vector(text)

    def _likeness(self, vector: Float32[np.ndarray, " c"]) -> Likeness:
        known, vectors = self._columns.vectors()
        if len(vector) != vectors.shape[1] or not np.isfinite(vector).all():
            raise SettingsError(f"vector: expected {vectors.shape[1]} finite numbers, as this run's images have.")
        near, cosines = nearest_rows(vector[None], vectors, len(known))
        order = known[near[0]]
        found = np.full(self._rows.pool, np.nan, np.float32)
        found[order] = cosines[0]
        return Likeness(found, order)


def _vector_of(text: str) -> Float32[np.ndarray, " c"]:
    try:
        vector: Float32[np.ndarray, " c"] = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    except (binascii.Error, ValueError) as error:
        raise SettingsError("vector: expected little-endian 32-bit floats in base64.") from error
    return vector


def nearest_of(ask: Mapping[str, Any]) -> int | None:
    """How many of the pool's nearest a query keeps; None for all.

    Raises:
        SettingsError: no whole number of 1 or more.
    """
    given = (ask.get("query") or {}).get("nearest")
    if given is None:
        return None
    nearest: int = as_type(given, int, "nearest")
    if nearest < 1:
        raise SettingsError(f"nearest = {nearest}: expected 1 or more.")
    return nearest


def shown_cosine(likeness: Likeness | None, row: int) -> float | None:
    """The cosine on a card; None if nothing is looked for, or the image is not the pool's or could not be read."""
    if likeness is None or row >= len(likeness.cosines) or np.isnan(likeness.cosines[row]):
        return None
    return float(likeness.cosines[row])
