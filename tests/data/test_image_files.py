"""Opening images leaves Pillow's limit and Python's warnings as they were, for whoever else is in the process."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from thresher.data.dataset import size_px
from thresher.data.image_files import opened_image, quiet
from thresher.data.images import image_size, rgb_image, rgb_pixels


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """An image of whose EXIF Pillow warns when it is read."""
    path = tmp_path / "odd.jpg"
    exif = b"Exif\\0\\0II*\\0\\x08\\0\\0\\0\\xff\\xff".decode("unicode_escape").encode("latin-1")
    Image.effect_noise((64, 48), 60).convert("RGB").save(path, exif=exif)
    return path


def test_pillow_does_warn_of_this_image(odd: Path) -> None:
    with pytest.warns(UserWarning, match="Corrupt EXIF data"), Image.open(odd) as image:
        image.getexif()


def test_threads_that_decode_side_by_side_leave_the_warnings_as_they_were(odd: Path) -> None:
    before, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    failed: list[BaseException] = []

    def decode() -> None:
        try:
            for _ in range(20):
                rgb_pixels(odd)
                rgb_image(odd)
                image_size(odd)
                size_px(odd)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=decode) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed  # warnings are errors here
    assert list(warnings.filters) == before
    assert limit == Image.MAX_IMAGE_PIXELS
    with pytest.raises(UserWarning, match="shown again"):
        warnings.warn("shown again", stacklevel=1)


def test_a_thread_that_is_done_leaves_the_others_quiet() -> None:
    with quiet():
        with quiet():
            pass
        warnings.warn("not shown", stacklevel=1)


def test_the_limit_of_the_process_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    Image.new("L", (300, 200), 7).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    assert image_size(path) == size_px(path) == (300, 200)
    assert np.array_equal(np.array(rgb_image(path)), np.full((200, 300, 3), 7))
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tiff", "webp", "ppm", "tga"])
def test_every_format_is_opened_as_pillow_does(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.effect_noise((40, 30), 60).convert("RGB").save(path)
    with Image.open(path) as theirs, path.open("rb") as file, opened_image(file) as ours:
        assert ours.format == theirs.format
        assert np.array_equal(np.array(ours), np.array(theirs))


def test_what_is_no_image_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"no image")
    with path.open("rb") as file, pytest.raises(UnidentifiedImageError):
        opened_image(file)
    Image.new("L", (3, 3)).save(path)
    with path.open("rb") as file, pytest.raises(UnidentifiedImageError):
        opened_image(file, formats=["JPEG"])
