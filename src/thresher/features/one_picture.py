"""The vector of a picture that is no image of the run, by the run's own backbone."""

from __future__ import annotations

import io
import tempfile
import threading
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import UnidentifiedImageError

from thresher import extras
from thresher.data.image_files import decoding, opened_image
from thresher.errors import DataError, SettingsError
from thresher.features.backbone import BackboneSettings
from thresher.features.network_file import network_there
from thresher.features.worker import Worker
from thresher.run.opened import OpenedRun
from thresher.settings import restored

#: Formats that are read, as Pillow names them. Others, such as PostScript, have no business here.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")


def embeds_pictures(opened: OpenedRun) -> bool:
    """Whether pictures can be put beside the run's images: it has a backbone, and what runs it is installed."""
    own_vectors = bool(opened.settings_of("embed").get("vectors"))
    return opened.has_vectors and "embed" in opened.recorded and not own_vectors and not extras.missing("embed")


class PictureNetwork:
    """A run's backbone, opened when the first picture comes; pictures go through it one at a time."""

    def __init__(self, opened: OpenedRun) -> None:
        """Open nothing yet."""
        self._opened = opened
        self._one_at_a_time = threading.Lock()  # a picture may take as much memory as its pixels

    @cached_property
    def _worker(self) -> Worker:
        return Worker(network_there(self._opened.run, restored(BackboneSettings, self._opened.settings_of("embed"))))

    def vector(self, content: bytes) -> Float32[np.ndarray, " c"]:
        """The mean of the picture's unit-length slices, as `pooled` holds it of the run's images.

        Args:
            content: The bytes of an image file.

        Raises:
            SettingsError: the run has no backbone, or the file is none of `FORMATS`.
            DataError: the picture cannot be read, or the network is lost.
        """
        if not embeds_pictures(self._opened):
            raise SettingsError(f"{self._opened.run.folder}: no backbone here that could look at a picture.")
        _refuse_other_formats(content)
        # The file is read as embed reads one, from a folder of its own that is gone afterwards.
        with self._one_at_a_time, tempfile.TemporaryDirectory(prefix="thresher-") as folder:
            path = Path(folder) / "picture"
            path.write_bytes(content)
            try:
                vector: Float32[np.ndarray, " c"] = self._worker.unit_slices(path).slices.mean(axis=0)
            except DataError as error:
                raise DataError(str(error).replace(str(path), "your picture")) from error
        return vector


def _refuse_other_formats(content: bytes) -> None:
    try:
        with decoding("your picture"):
            opened_image(io.BytesIO(content), FORMATS).close()
    except DataError as error:
        if not isinstance(error.__cause__, UnidentifiedImageError):
            raise
        raise SettingsError(f"your picture: expected a file in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.") from error
