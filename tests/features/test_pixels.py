"""What the network sees is what Pillow would show it, however it was decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from thresher.data.images import rgb_image
from thresher.errors import DataError
from thresher.features.pixels import network_pixels


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth shapes with some noise: pure noise would tell little of a decoder."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def by_pillow(path: Path, size: tuple[int, int]) -> np.ndarray:
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return np.asarray(upright.resize(size, Image.Resampling.BILINEAR)).astype(int)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_decoded_and_resized_as_pillow_does_it(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.jpg"
    photograph(1000, 700).convert(mode).save(path, quality=90)
    found = network_pixels(path, 224)
    assert (found.width_px, found.height_px) == (1000, 700)
    assert found.image.shape == (224, 320, 3)
    assert np.abs(found.image - by_pillow(path, (320, 224))).max() <= 2


def test_the_fast_way_is_near_and_knows_the_true_size(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    photograph(1600, 1200).save(path, quality=90)
    exact, fast = (network_pixels(path, 224, fast) for fast in (False, True))
    assert (fast.width_px, fast.height_px) == (1600, 1200)
    off = np.abs(exact.image.astype(int) - fast.image)
    assert 0 < off.mean() < 2


def test_a_rotated_jpeg_stands_upright(tmp_path: Path) -> None:
    path, exif = tmp_path / "r.jpg", Image.Exif()
    exif[0x0112] = 6
    photograph(640, 480).save(path, quality=95, exif=exif)
    found = network_pixels(path, 64)
    assert (found.width_px, found.height_px) == (480, 640)
    assert np.abs(found.image - by_pillow(path, (64, 96))).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP"])
def test_other_formats_and_wrong_endings_are_read_by_content(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "wrong.jpg"
    photograph(120, 90).save(path, format=kind)
    expected = np.asarray(rgb_image(path).resize((96, 64), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(network_pixels(path, 64).image - expected).max() <= 2


def test_a_jpeg_in_cmyk_and_a_single_pixel_are_read(tmp_path: Path) -> None:
    Image.new("CMYK", (80, 60), (0, 255, 255, 0)).save(tmp_path / "c.jpg")
    red = network_pixels(tmp_path / "c.jpg", 32).image[0, 0]
    assert red[0] > 200
    assert red[1] < 60
    Image.new("RGB", (1, 1), (9, 9, 9)).save(tmp_path / "one.png")
    assert network_pixels(tmp_path / "one.png", 64).image.shape == (64, 64, 3)


def test_damage_is_told_in_pillows_words(tmp_path: Path) -> None:
    path = tmp_path / "t.jpg"
    photograph(300, 200).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"t\.jpg: not a readable image \(image file is truncated"):
        network_pixels(path, 64)
