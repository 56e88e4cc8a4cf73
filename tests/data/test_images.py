from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thresher.data import images
from thresher.data.dataset import size_px
from thresher.data.images import image_size, network_size, rgb_image, rgb_pixels
from thresher.errors import DataError

GREY16 = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_modes_become_rgb_with_the_right_values(tmp_path: Path) -> None:
    red = Image.new("RGB", (8, 6), (200, 10, 30))
    assert np.asarray(rgb_image(saved(tmp_path / "a.png", red)))[0, 0].tolist() == [200, 10, 30]
    palette = saved(tmp_path / "p.png", red.convert("P", palette=Image.Palette.ADAPTIVE))
    assert np.asarray(rgb_image(palette))[0, 0].tolist() == [200, 10, 30]
    grey = saved(tmp_path / "g.png", Image.new("L", (8, 6), 77))
    assert np.asarray(rgb_image(grey))[0, 0].tolist() == [77, 77, 77]
    cmyk = rgb_image(saved(tmp_path / "c.jpg", Image.new("CMYK", (8, 6), (0, 255, 255, 0))))
    assert np.asarray(cmyk)[0, 0, 0] > 200
    assert np.asarray(cmyk)[0, 0, 1] < 60


def test_pixels_are_those_of_the_image_however_they_are_decoded(tmp_path: Path) -> None:
    ramp = Image.fromarray(np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)).convert("RGB")
    turned = ramp.getexif()
    turned[0x0112] = 6
    for path in (
        saved(tmp_path / "r.jpg", ramp),
        saved(tmp_path / "grey.jpg", ramp.convert("L")),
        saved(tmp_path / "turned.jpg", ramp, exif=turned),
        saved(tmp_path / "r.png", ramp),
    ):
        difference = rgb_pixels(path).astype(int) - np.asarray(rgb_image(path)).astype(int)
        assert abs(difference).max() <= 1, path
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "r.jpg").read_bytes()[:300])
    with pytest.raises(DataError, match="cut.jpg: not a readable image"):
        rgb_pixels(tmp_path / "cut.jpg")


def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path) -> None:
    found = np.asarray(rgb_image(saved(tmp_path / "d.png", Image.fromarray(GREY16))))
    np.testing.assert_array_equal(found[..., 0], GREY16 >> 8)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_deep_greys_are_taken_at_the_range_that_their_values_use(tmp_path: Path, bits: int) -> None:
    """A camera of 12 bits stores them as they are in a file of 16, and tools store 8 bits in 32."""
    ramp = np.linspace(0, (1 << bits) - 1, 64 * 48).reshape(48, 64)
    for name, kind in (("d.png", np.uint16), ("d.tif", np.int32)):
        found = np.asarray(rgb_image(saved(tmp_path / name, Image.fromarray(ramp.astype(kind)))))
        assert found.mean() == pytest.approx(127, abs=1), name


def test_greys_in_floating_point_are_shares_of_white_or_0_to_255(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 64 * 48, dtype=np.float32).reshape(48, 64)
    for name, values in (("share.tif", ramp), ("grey.tif", ramp * 255)):
        found = np.asarray(rgb_image(saved(tmp_path / name, Image.fromarray(values))))
        assert found.mean() == pytest.approx(127, abs=1), name
    ramp[0, :2] = np.nan, np.inf
    assert np.asarray(rgb_image(saved(tmp_path / "nan.tif", Image.fromarray(ramp))))[0, :2].max() == 0


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        (np.linspace(0, 4095, 3072, dtype=np.float32), 127),
        (np.linspace(0, 65535, 3072, dtype=np.float32), 127),
        (np.linspace(-9, 255, 3072, dtype=np.int32), 123),
        (np.linspace(0, 1 << 20, 3072, dtype=np.int32), None),
        (np.linspace(0, 1e6, 3072, dtype=np.float32), None),
        (np.linspace(-2, -1, 3072, dtype=np.float32), None),
    ],
)
def test_deep_greys_are_scaled_by_the_rule_or_refused(tmp_path: Path, values: np.ndarray, mean: int | None) -> None:
    path = saved(tmp_path / "d.tif", Image.fromarray(values.reshape(48, 64)))
    if mean is None:
        with pytest.raises(DataError, match=r"d\.tif: not a readable image \(greys from .* expected 0 to 65,535"):
            rgb_image(path)
    else:
        assert np.asarray(rgb_image(path)).mean() == pytest.approx(mean, abs=1.5)


@pytest.mark.parametrize("bits", [12, 16])
def test_colours_of_twelve_bits_in_sixteen_are_not_black(tmp_path: Path, bits: int) -> None:
    """Pillow keeps the upper byte of each colour in 16 bits, and nothing of the lower one."""
    ramp = np.linspace(0, (1 << bits) - 1, 64, dtype=">u2")
    rows = b"".join(b"\0" + np.repeat(ramp, 3).tobytes() for _ in range(2))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 64, 2, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    content = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    if bits == 12:
        with pytest.raises(DataError, match=r"colours in 16 bits of which at most 12 are used. Save them as 8 bits"):
            rgb_image(tmp_path / "c.png")
    else:
        assert np.asarray(rgb_image(tmp_path / "c.png")).mean() == pytest.approx(127, abs=1.5)


def odd_tag(path: Path, tag: int, kind: int, count: int, value: bytes) -> Path:
    """A JPEG held sideways (orientation 6) with one more EXIF tag, written byte by byte: 320 × 240 stored."""
    entries = sorted([(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (tag, kind, count, value.ljust(4, b"\0")[:4])])
    block = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + block + struct.pack("<I", 0) + bytes(range(64))
    plain = path.with_suffix(".plain.jpg")
    Image.new("RGB", (320, 240), (200, 10, 30)).save(plain, "JPEG")
    content = plain.read_bytes()
    plain.unlink()
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:])
    return path


@pytest.mark.parametrize("tag", [0x0131, 0x010F, 0x011A, 0x8769, 0x927C, 0xFDE8])
def test_an_odd_tag_beside_the_orientation_changes_nothing(tmp_path: Path, tag: int) -> None:
    """Software as a fraction, a pointer to nowhere, counts beyond the file: the pixels do not depend on them."""
    for kind in range(0, 15):
        for count in (0, 1, 3, 2**31):
            path = odd_tag(tmp_path / "odd.jpg", tag, kind, count, b"\x30\xff\xff\x7f")
            assert rgb_image(path).size == (240, 320), (kind, count)
            assert size_px(path) == (240, 320), (kind, count)


def test_an_orientation_that_is_none_is_upright(tmp_path: Path) -> None:
    for value in (0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = value
        assert rgb_image(saved(tmp_path / "a.jpg", Image.new("RGB", (8, 6)), exif=exif)).size == (8, 6)


def test_whatever_a_decoder_raises_is_one_line_about_its_image(tmp_path: Path) -> None:
    """Every byte of the header of each format is flipped: the answer is an image or a DataError."""
    for form in ("png", "tiff", "gif", "bmp", "webp", "ppm", "jpeg"):
        content = saved(tmp_path / f"whole.{form}", Image.new("RGB", (9, 7), (200, 10, 30))).read_bytes()
        for place in range(min(len(content), 120)):
            path = tmp_path / f"flipped.{form}"
            path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
            try:
                assert rgb_image(path).mode == "RGB"
            except DataError as error:
                assert str(error).startswith(f"{path}: ")
                assert "\n" not in str(error)


def test_transparency_lies_on_black(tmp_path: Path) -> None:
    half = saved(tmp_path / "h.png", Image.new("RGBA", (4, 4), (200, 100, 50, 128)))
    assert np.asarray(rgb_image(half))[0, 0] == pytest.approx([100, 50, 25], abs=1)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    upright = Image.new("RGB", (10, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turn to the left
    assert rgb_image(saved(tmp_path / "e.jpg", upright, exif=exif)).size == (20, 10)


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), 10), Image.new("L", (4, 4), 250)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert np.asarray(rgb_image(path))[0, 0, 0] < 50


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"this is no image at all", "not a readable image"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "not a readable image"),
    ],
)
def test_words_about_what_is_no_image(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad name\n.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        rgb_image(path)
    with pytest.raises(DataError, match=words):
        image_size(path)


def test_a_truncated_jpeg_and_a_missing_file_say_so(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    path = saved(tmp_path / "t.jpg", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[:2000])
    assert image_size(path) == (120, 90)
    with pytest.raises(DataError, match=r"t\.jpg: not a readable image \(image file is truncated"):
        rgb_image(path)
    with pytest.raises(DataError, match="the file is not there"):
        rgb_image(tmp_path / "nowhere.jpg")


def test_a_decompression_bomb_is_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "b.png", Image.new("L", (300, 300)))
    monkeypatch.setattr(images, "MAX_PIXELS", 89_999)
    with pytest.raises(DataError, match="300 × 300 pixels; the limit is 89,999"):
        rgb_image(path)


def test_network_sizes_keep_the_shape_to_the_nearest_multiple() -> None:
    assert network_size(1920, 1080, 224, 32) == (384, 224)
    assert network_size(1080, 1920, 224, 32) == (224, 384)
    assert network_size(480, 145, 224, 32) == (736, 224)
    assert network_size(5000, 100, 224, 32) == (896, 224)
