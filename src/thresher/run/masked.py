"""Sources of images with masks beside those that a run has indexed: for validation, for tests, for labels."""

from __future__ import annotations

from pathlib import Path

from thresher.data.dataset import Dataset
from thresher.data.drawn_masks import Meanings, with_drawn_masks
from thresher.data.source_text import read_source
from thresher.data.taxonomy import Taxonomy, load_label_map
from thresher.run.folder import Run


def read_with_masks(run: Run, text: str, taxonomy: Taxonomy) -> Dataset:
    """The data set of a source, its masks drawn into the run, by the label map that the run was indexed with.

    Args:
        text: [NAME=]FORMAT:ROOT[#SPLIT].

    Raises:
        SettingsError: the text cannot be understood, or the label map is no longer there.
        DataError: the place cannot be read, or most masks cannot be drawn.
    """
    indexed = run.recorded().get("index", {})
    given = indexed.get("settings", {}).get("label_map")
    place = Path(indexed.get("folder", "")) / given if given else None
    return with_drawn_masks(read_source(text), Meanings(taxonomy, load_label_map(place, taxonomy)), run.drawn_masks)
