"""Opening images leaves Pillow's limit and Python's warnings as they were, for whoever else is in the process."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from thresher.data.dataset import size_px
from thresher.data.image_files import opened_image, quiet
from thresher.data.images import image_size, rgb_image, rgb_pixels

#: Imports every module of thresher once their libraries are there, and compares what a process has in common.
PROBE = """
import importlib, logging, os, pkgutil, sys, warnings
import PIL.Image, numpy as np, polars as pl
import thresher

names = [each.name for each in pkgutil.walk_packages(thresher.__path__, "thresher.") if "__main__" not in each.name]
if len(sys.argv) == 1:
    for name in names:
        importlib.import_module(name)
    ours = sys.stdlib_module_names | {"thresher"}
    print(*[name for name in sys.modules if name.split(".")[0] not in ours])
    sys.exit()
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception:  # parts of a library that cannot be imported on their own
        pass
import torch

def common():
    threads = torch.get_num_threads(), torch.get_num_interop_threads(), torch.is_grad_enabled()
    loggers = {name: (each.level, list(each.handlers)) for name, each in logging.root.manager.loggerDict.items()
               if isinstance(each, logging.Logger) and not name.startswith("thresher")}
    hooks = sys.excepthook, warnings.showwarning, sys.path[:], os.getcwd(), sys.getrecursionlimit()
    return {"pixels": PIL.Image.MAX_IMAGE_PIXELS, "warnings": list(warnings.filters), "environment": dict(os.environ),
            "logging": (logging.root.level, list(logging.root.handlers), loggers), "numpy": np.geterr(),
            "polars": pl.Config.state(), "torch": threads, "hooks": hooks,
            "random": np.random.get_state()[1].tolist(), "seed": torch.initial_seed()}

before = common()
for name in names:
    importlib.import_module(name)
after = common()
changed = [name for name in before if before[name] != after[name]]
print(len(names), changed, [each for each in after['warnings'] if each not in before['warnings']])
"""


def test_importing_every_module_changes_nothing_that_a_process_has_in_common() -> None:
    def said(*arguments: str) -> str:
        command = [sys.executable, "-c", PROBE, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    number, changed = said(*said().split()).split(maxsplit=1)
    assert int(number) > 100
    assert changed.strip() == "[] []"


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
