"""Names of labels and files as formats of text can hold them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from thresher.errors import DataError


def refuse_unwritable(texts: Iterable[str], form: str) -> None:
    """Refuse texts with line breaks or other control characters, which the format would break or lose.

    Raises:
        DataError: with the first such text.

    >>> refuse_unwritable(["car", "Über/a b.jpg"], "yolo")
    """
    for text in texts:
        if text != text.strip() or any(unicodedata.category(letter) in ("Cc", "Cs", "Cn") for letter in text):
            raise DataError(
                f"{text!r:.200}: a name with a line break, a control character or spaces at its ends cannot be written "
                f"as {form}. Rename it, or export coco or parquet."
            )
