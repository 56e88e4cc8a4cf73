"""Each strange or broken image costs only itself, and its row says why."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.data.images import rgb_image
from thresher.data.readers import READERS
from thresher.run.folder import Run
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.index import IndexSettings, index
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

NOISE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
PLAIN = Image.fromarray(NOISE)


def saved(image: Image.Image, **options: object) -> Callable[[Path], None]:
    return lambda path: image.save(path, **options)


def written(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def as_png(path: Path) -> None:
    PLAIN.save(path, "PNG")


def truncated(path: Path) -> None:
    PLAIN.save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(path: Path) -> None:
    """A PNG that says it has 30,000 × 30,000 pixels and holds none: decoding it would fail in another way."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


#: File name → what makes it, and its upright size.
READABLE: dict[str, tuple[Callable[[Path], None], tuple[int, int]]] = {
    "plain.jpg": (saved(PLAIN), (64, 48)),
    "png inside.jpg": (as_png, (64, 48)),
    "cmyk.jpg": (saved(PLAIN.convert("CMYK")), (64, 48)),
    "sixteen.png": (saved(Image.fromarray(NOISE[..., 0].astype(np.uint16) * 200)), (64, 48)),
    "grey.jpg": (saved(PLAIN.convert("L")), (64, 48)),
    "bilevel.png": (saved(PLAIN.convert("1")), (64, 48)),
    "palette.png": (saved(PLAIN.convert("P"), transparency=0), (64, 48)),
    "alpha.png": (saved(PLAIN.convert("RGBA")), (64, 48)),
    "float.tiff": (saved(Image.fromarray(NOISE[..., 0].astype(np.float32))), (64, 48)),
    "turned.jpg": (saved(PLAIN, exif=rotated()), (48, 64)),
    "animated.gif": (saved(PLAIN, save_all=True, append_images=[PLAIN.convert("L")]), (64, 48)),
    "one.png": (saved(Image.new("RGB", (1, 1))), (1, 1)),
    "thin.png": (saved(Image.new("RGB", (3000, 1))), (3000, 1)),
    "two  spaces .jpg": (saved(PLAIN), (64, 48)),
    "ünï→码 🚲.jpg": (saved(PLAIN), (64, 48)),
    "new\nline\t.jpg": (saved(PLAIN), (64, 48)),
    "quote\"',;.jpg": (saved(PLAIN), (64, 48)),
    "a/same.jpg": (saved(PLAIN), (64, 48)),
    "b/same.jpg": (saved(PLAIN), (64, 48)),
    "UPPER.JPEG": (saved(PLAIN, format="JPEG"), (64, 48)),
}
#: File name → what makes it, and the words of its reason.
UNREADABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "zero.jpg": (written(b""), "the file is empty (0 bytes)"),
    "truncated.jpg": (truncated, "image file is truncated"),
    "half.png": (truncated, "not a readable image (image file is truncated"),
    "words.png": (written(b"<html>404</html>"), "not a readable image (unknown format)"),
    "huge.png": (bomb, "30000 × 30000 pixels; the limit is 200,000,000"),
    "zeros.jpg": (written(b"\0" * 5000), "not a readable image (unknown format)"),
    "torn.gif": (written(b"GIF89a\1\0\1\0\x80\0\0"), "not a readable image"),
}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, scenes: Path) -> Run:
    root = tmp_path_factory.mktemp("bad inputs")
    target, pool = root / "target", root / "pool"
    for number in range(3):
        target.mkdir(exist_ok=True)
        saved(PLAIN.rotate(40 * number))(target / f"{number}.jpg")
    for name, (make, _) in {**READABLE, **UNREADABLE}.items():
        (pool / name).parent.mkdir(parents=True, exist_ok=True)
        make(pool / name)
    saved(PLAIN)(pool / "plain.png")  # of the same id as plain.jpg
    (root / "pool" / "notes.txt").write_text("no image")
    run = Run(root / "run")
    index(run, IndexSettings((f"folder:{target}",), (f"folder:{pool}",)))
    embed(
        run, EmbedSettings(backbone=str(scenes / "tiny.onnx"), short_side=64, width=8), engine=EngineSettings(workers=2)
    )
    return run


def by_name(run: Run, frame: pl.DataFrame) -> dict[str, dict[str, object]]:
    pool = run.folder.parent / "pool"
    images = tables.read(run.images, tables.INDEXED_IMAGES).filter(pl.col("role") == "pool")
    joined = images.select("image_id", "path").join(frame.drop("path", strict=False), on="image_id")
    return {str(Path(row["path"]).relative_to(pool)): row for row in joined.iter_rows(named=True)}


def test_every_readable_image_is_embedded_at_its_upright_size(embedded: Run) -> None:
    pooled = by_name(embedded, tables.read(embedded.pooled, tables.POOLED))
    assert sorted(pooled) == sorted(READABLE)
    assert {name: (row["width_px"], row["height_px"]) for name, row in pooled.items()} == {
        name: size for name, (_, size) in READABLE.items()
    }
    assert all(np.isfinite(row["vector"]).all() for row in pooled.values())


def test_every_unreadable_image_is_a_row_with_its_reason(embedded: Run) -> None:
    problems = tables.read(embedded.problems, tables.PROBLEMS).filter(pl.col("stage") == "embed")
    found = by_name(embedded, problems)
    assert sorted(found) == sorted(UNREADABLE)
    for name, (_, words) in UNREADABLE.items():
        assert found[name]["problem"] == "image_unreadable"
        assert words in str(found[name]["detail"])


def test_two_files_of_one_id_are_listed_and_namesakes_in_two_folders_are_not(embedded: Run) -> None:
    problems = tables.read(embedded.problems, tables.PROBLEMS).filter(pl.col("stage") == "index")
    assert problems.select("image_id", "problem").rows() == [("pool/plain", "duplicate_id")]
    assert problems["path"][0].endswith("plain.png")


def test_a_name_that_is_not_utf8_is_listed(tmp_path: Path) -> None:
    saved(PLAIN)(tmp_path / "good.jpg")
    bad = tmp_path / b"latin\xe9.jpg".decode("utf-8", "surrogateescape")
    bad.write_bytes((tmp_path / "good.jpg").read_bytes())
    run = Run(tmp_path / "run")
    assert index(run, IndexSettings((f"folder:{tmp_path}",))).failed_items == 1
    assert tables.read(run.problems, tables.PROBLEMS)["problem"].to_list() == ["name_not_utf8"]


@pytest.mark.parametrize("stated", ["upright", "nothing"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_on_a_turned_image_encloses_what_it_enclosed(tmp_path: Path, stated: str, orientation: int) -> None:
    """COCO boxes are of the upright image, whether its size is stated or read from the file."""
    upright = np.zeros((40, 60, 3), np.uint8)
    x, y, across, down = 32, 4, 24, 16
    upright[y : y + down, x : x + across] = 255
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = Image.fromarray(upright)
    stored = stored.transpose(back[orientation]) if orientation in back else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    stored.save(tmp_path / "images" / "a.jpg", exif=exif, quality=95)
    size = ', "width": 60, "height": 40' if stated == "upright" else ""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train.json").write_text(
        f'{{"images": [{{"id": 1, "file_name": "a.jpg"{size}}}], "categories": [{{"id": 1, "name": "car"}}],'
        f'"annotations": [{{"image_id": 1, "category_id": 1, "bbox": [{x}, {y}, {across}, {down}]}}]}}'
    )
    found = READERS["coco"](tmp_path, None, "d")
    pixels = np.asarray(rgb_image(Path(found.images["path"][0])))[..., 0]
    height, width = pixels.shape
    box = found.boxes.row(0, named=True)
    left, right = (round(box[name] * width) for name in ("x0", "x1"))
    top, bottom = (round(box[name] * height) for name in ("y0", "y1"))
    assert pixels[top:bottom, left:right].mean() > 245
    assert pixels.mean() == pytest.approx(255 * across * down / (60 * 40), abs=3)
