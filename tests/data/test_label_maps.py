from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thresher.data.label_maps import class_numbers, label_map
from thresher.data.taxonomy import load_taxonomy
from thresher.errors import DataError


def saved(path: Path, values: list[list[int]], mode: str = "L") -> Path:
    Image.fromarray(np.array(values, np.uint8)).convert(mode).save(path)
    return path


def test_each_encoding_by_hand(tmp_path: Path) -> None:
    cityscapes, camvid = load_taxonomy("cityscapes"), load_taxonomy("camvid")
    road_car_void = [
        (cityscapes, "cityscapes_label_ids", [7, 26, 4], [0, 13, 19]),
        (cityscapes, "cityscapes_train_ids", [0, 13, 255], [0, 13, 19]),
        (camvid, "class_index", [3, 8, 11], [3, 8, 11]),
    ]
    for number, (taxonomy, encoding, values, expected) in enumerate(road_car_void):
        path = saved(tmp_path / f"{number}.png", [values])
        assert label_map(path, class_numbers(taxonomy, encoding)).tolist() == [expected]


def test_a_palette_is_read_by_its_indices(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1), 3)
    picture.putpalette([9] * 768)
    picture.save(tmp_path / "p.png")
    assert label_map(tmp_path / "p.png", class_numbers(load_taxonomy("camvid"), "class_index")).tolist() == [[3, 3]]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_values_of_few_bits_are_read_as_they_are_stored(tmp_path: Path, bits: int) -> None:
    """PNG optimisers write masks of few classes with 1, 2 or 4 bits; a viewer shows them spread over 0..255."""
    rows = b"".join(b"\0" + bytes([sum((x % 2) << (8 - bits * (x + 1)) for x in range(8 // bits))]) for _ in range(3))
    header = struct.pack(">IIBBBBB", 8 // bits, 3, bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    content = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    numbers = class_numbers(load_taxonomy("cityscapes"), "cityscapes_train_ids")
    assert label_map(tmp_path / "m.png", numbers).tolist() == [[x % 2 for x in range(8 // bits)]] * 3


def test_words_of_errors(tmp_path: Path) -> None:
    numbers = class_numbers(load_taxonomy("camvid"), "class_index")
    with pytest.raises(DataError, match=r"m.png: values 12, 255 are neither a class nor void"):
        label_map(saved(tmp_path / "m.png", [[0, 12, 255]]), numbers)
    with pytest.raises(DataError, match="mode RGB; expected a mask of one channel of at most 8 bits"):
        label_map(saved(tmp_path / "c.png", [[0, 1]], "RGB"), numbers)
    (tmp_path / "no.png").write_text("words")
    with pytest.raises(DataError, match=r"no\.png: not a readable mask"):
        label_map(tmp_path / "no.png", numbers)
    with pytest.raises(DataError, match="encoding 'rgb' is unknown. Known: class_index"):
        class_numbers(load_taxonomy("camvid"), "rgb")
