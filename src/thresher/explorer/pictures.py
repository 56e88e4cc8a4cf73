"""The explorer's pictures by row, as JPEG: images, heat maps, pixel labels."""

from __future__ import annotations

from typing import cast, get_args

from thresher.data.images import rgb_image
from thresher.drawings.thumbnails import jpeg, thumbnail
from thresher.errors import DataError
from thresher.explorer.kept import Kept
from thresher.explorer.pixel_labels import labelled_picture
from thresher.explorer.rows import RunRows
from thresher.stages.heat import HeatMaps, Shown

#: Longest side of pictures in pixels: of a card, of the large view, and of that when it is zoomed into.
SIDES = (320, 1280, 4096)
#: Number of thumbnails cached in memory.
_KEPT = 3000


class RunPictures:
    """The pictures of a run's images; thread-safe."""

    def __init__(self, rows: RunRows) -> None:
        """Draw none yet."""
        self._rows = rows
        self._pictures = Kept[bytes](_KEPT)
        self._heat_maps = Kept[HeatMaps](len(get_args(Shown)))

    def picture(self, row: int, side: int) -> bytes:
        """The image of a row as JPEG, its longer side at most `side` pixels (one of `SIDES`).

        Raises:
            DataError: no such row, or an image that cannot be read or is outside the folders given to index.
        """
        self._rows.refuse_unknown(row)
        if side not in SIDES:
            raise DataError(f"side {side}: expected {' or '.join(map(str, SIDES))}.")

        def drawn() -> bytes:
            return jpeg(thumbnail(rgb_image(self._rows.path(row)), side))

        # A few of the largest would take as much memory as all cards.
        return drawn() if side == SIDES[-1] else self._pictures.of((row, side), drawn)

    def heat(self, row: int, by: str) -> bytes:
        """The heat map of a row as JPEG, by the score `by` (`shown_by` of the method).

        Raises:
            DataError: no such score, the image has no slices, fit has not run, or the image cannot be read.
        """
        self._rows.refuse_unknown(row)
        if by not in get_args(Shown):
            raise DataError(f"heat map by '{by}': expected {' or '.join(get_args(Shown))}.")
        heat_maps = self._heat_maps.of(by, lambda: HeatMaps(self._rows.opened, cast(Shown, by)))
        return jpeg(heat_maps.heat(self._rows.images["image_id"][row], self._rows.path(row)))

    def labels(self, row: int) -> bytes:
        """The image of a row beside its pixel labels, as JPEG.

        Raises:
            DataError: no label set holds it, or a file cannot be read.
        """
        self._rows.refuse_unknown(row)
        return jpeg(labelled_picture(self._rows.opened, self._rows.images["image_id"][row], self._rows.path(row)))
