"""Bytes read from archives in place are the bytes that were put in."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from thresher.data.sources import (
    BLOCK_ROWS,
    image_bytes,
    opened,
    size_bytes,
    split_address,
    tar_index,
)
from thresher.errors import DataError


def written_tar(path: Path, members: list[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def blobs(count: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    return [rng.bytes(int(size)) for size in rng.integers(0, 3000, count)]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_a_tar_are_their_bytes_whatever_the_dialect_and_order(tmp_path: Path, format: int) -> None:
    names = [f"./{'long/' * 18}{number:03d} é.jpg" for number in range(20)]
    expected = dict(zip(names, blobs(20), strict=True))
    archive = written_tar(tmp_path / "a b.tar", list(expected.items()), format)
    for name in reversed(names):
        address = f"{archive}!/{name.removeprefix('./')}"
        assert image_bytes(address) == image_bytes(Path(address)) == expected[name]
        assert size_bytes(address) == len(expected[name])
        with opened(address) as file:
            assert file.read() == expected[name]


@pytest.mark.parametrize("form", ["binary", "struct"])
@pytest.mark.parametrize("row_group", [7, 1000])
def test_rows_of_a_parquet_are_their_bytes(tmp_path: Path, form: str, row_group: int) -> None:
    expected = blobs(3 * BLOCK_ROWS + 5)
    images = expected if form == "binary" else [{"bytes": each, "path": "x.jpg"} for each in expected]
    frame = pl.DataFrame({"caption": ["…"] * len(images), "image": images})
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=row_group)
    for row in np.random.default_rng(1).permutation(len(expected)):
        assert image_bytes(f"{tmp_path}/a.parquet!/{row}") == expected[row]


def test_a_plain_file_is_itself_even_where_its_folder_looks_like_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "odd.tar!" / "b.jpg"
    path.parent.mkdir()
    path.write_bytes(b"pixels")
    assert split_address(path) is None
    assert image_bytes(path) == b"pixels"
    assert size_bytes(path) == 6


def test_an_archive_that_changed_is_read_anew(tmp_path: Path) -> None:
    for content in (b"first", b"the second"):
        archive = written_tar(tmp_path / "a.tar", [("pad", content), ("b.jpg", content)])
        assert image_bytes(f"{archive}!/b.jpg") == content
        pl.DataFrame({"image": [content]}).write_parquet(tmp_path / "a.parquet")
        os.utime(tmp_path / "a.parquet", ns=(len(content), len(content)))
        assert image_bytes(f"{tmp_path}/a.parquet!/0") == content


def test_threads_get_each_their_own_bytes(tmp_path: Path) -> None:
    expected = blobs(200)
    archive = written_tar(tmp_path / "a.tar", [(f"{n}.jpg", each) for n, each in enumerate(expected)])
    pl.DataFrame({"image": expected}).write_parquet(tmp_path / "a.parquet", row_group_size=10)
    wrong: list[str] = []

    def check(start: int) -> None:
        for number in range(start, 200, 4):
            for address in (f"{archive}!/{number}.jpg", f"{tmp_path}/a.parquet!/{number}"):
                if image_bytes(address) != expected[number]:
                    wrong.append(address)

    threads = [threading.Thread(target=check, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_words_about_what_is_not_there(tmp_path: Path) -> None:
    archive = written_tar(tmp_path / "a.tar", [("b.jpg", b"x")])
    pl.DataFrame({"image": [b"x", None]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"text": ["x"]}).write_parquet(tmp_path / "words.parquet")
    (tmp_path / "no.parquet").write_bytes(b"PAR1 no")
    for address, words in {
        f"{archive}!/c.jpg": "the archive is there, but this member is not in it. Index the data again",
        f"{tmp_path}/gone.tar!/b.jpg": "gone.tar!/b.jpg: the archive is not there",
        f"{tmp_path}/gone.parquet!/0": "the archive is not there",
        f"{tmp_path}/a.parquet!/1": "holds no image bytes",
        f"{tmp_path}/a.parquet!/2": "no such row",
        f"{tmp_path}/a.parquet!/-1": "addressed by its number",
        f"{tmp_path}/words.parquet!/0": r"no column with image bytes. Found text \(String\)",
        f"{tmp_path}/no.parquet!/0": "not a readable Parquet file",
        f"{tmp_path}/b.jpg": "the file is not there",
        f"{tmp_path}": r"cannot be read \(Is a directory\)",
    }.items():
        with pytest.raises(DataError, match=words):
            image_bytes(address)


def test_of_a_damaged_tar_all_before_the_damage_is_read(tmp_path: Path) -> None:
    whole = written_tar(tmp_path / "a.tar", [(f"{n}.jpg", b"x" * 1000) for n in range(4)]).read_bytes()
    assert whole[1536 * 2 :][:5] == b"2.jpg"
    (tmp_path / "cut.tar").write_bytes(whole[: 1536 * 2 + 700])
    cut = tar_index(tmp_path / "cut.tar")
    assert list(cut.members) == ["0.jpg", "1.jpg"]
    assert cut.cut == ("2.jpg",)
    with pytest.raises(DataError, match="this member is cut off"):
        image_bytes(f"{tmp_path}/cut.tar!/2.jpg")

    (tmp_path / "torn.tar").write_bytes(whole[: 1536 * 2] + b"\1" * 512 + whole[1536 * 2 + 512 :])
    torn = tar_index(tmp_path / "torn.tar")
    assert list(torn.members) == ["0.jpg", "1.jpg"]
    assert torn.damage == "no tar header at byte 3,072"

    # Cut off exactly between two members nothing is missing that could be known; a whole one ends with zeros.
    (tmp_path / "even.tar").write_bytes(whole[: 1536 * 2])
    assert tar_index(tmp_path / "even.tar").damage is None
    assert tar_index(tmp_path / "a.tar").damage is None

    for content in (b"", b"no tar at all" * 100):
        (tmp_path / "no.tar").write_bytes(content)
        with pytest.raises(DataError, match="not an uncompressed tar"):
            tar_index(tmp_path / "no.tar")


def test_a_compressed_tar_says_what_to_do(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("b.jpg"))
    with pytest.raises(DataError, match="compression prevents: gunzip it"):
        tar_index(tmp_path / "a.tar")


def test_folders_and_links_are_no_members_and_the_first_of_a_name_counts(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind, content in [
            ("f", tarfile.DIRTYPE, b""),
            ("f/a.jpg", tarfile.REGTYPE, b"1"),
            ("l.jpg", tarfile.SYMTYPE, b""),
            ("./f/a.jpg", tarfile.REGTYPE, b"22"),
            ("../up.jpg", tarfile.REGTYPE, b"3"),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "f/a.jpg"
            tar.addfile(info, io.BytesIO(content))
    index = tar_index(tmp_path / "a.tar")
    assert {name: size for name, (_, size) in index.members.items()} == {"f/a.jpg": 1, "up.jpg": 1}
    assert index.repeated == ("f/a.jpg",)
    assert image_bytes(f"{tmp_path}/a.tar!/f/a.jpg") == b"1"
