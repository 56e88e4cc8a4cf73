"""Open Images first, images later: from the CSVs alone to a training list; the same for COCO with addresses."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.cli.main import main
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.run.update import status, update
from thresher.stages.download import DownloadSettings, download
from thresher.stages.embed import embed
from thresher.stages.export import export
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import ScoreSettings, score
from thresher.stages.select import SelectSettings, select
from thresher.training.settings import TrainSettings
from thresher.training.train import planned_steps

pytestmark = pytest.mark.slow

CAR, PERSON = "/m/0k4j", "/m/01g317"
BOXES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
IDS = "ImageID,Subset,OriginalURL,OriginalLandingURL,License,Author,Title,OriginalSize,OriginalMD5,Rotation\n"
QUICK = DownloadSettings(tries=1, timeout_s=2, per_second=0)


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 64), shade).convert("RGB").save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which its files are to be had."""
    (tmp_path / "served").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield tmp_path / "served", f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def open_images(tmp_path: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The CSVs of six images, the n-th with n boxes, of which none is on disk; the last is gone from the bucket."""
    folder, address = served
    monkeypatch.setattr("thresher.data.readers.open_images_later.BUCKET", f"{address}bucket/")
    monkeypatch.setattr("thresher.stages.export.BUCKET", f"{address}bucket/")
    for place in ("bucket/train", "flickr"):
        (folder / place).mkdir(parents=True)
    boxes, ids = BOXES, IDS
    for number in range(1, 7):
        name, picture = f"{number:016x}", jpeg(20 * number)
        for n in range(number):
            boxes += f"{name},xclick,{CAR if n % 2 else PERSON},1,{n / 10},{n / 10 + 0.1},0.2,0.6\n"
        md5 = base64.b64encode(hashlib.md5(picture).digest()).decode()
        ids += f'{name},train,{address}flickr/{name}.jpg,,,"Ann, B",t,{len(picture)},{md5},0.0\n'
        (folder / "bucket" / "train" / f"{name}.jpg").write_bytes(picture)
        (folder / "flickr" / f"{name}.jpg").write_bytes(picture)
    (folder / "bucket" / "train" / f"{6:016x}.jpg").unlink()
    pool = tmp_path / "oi"
    pool.mkdir()
    (pool / "train-annotations-bbox.csv").write_text(boxes)
    (pool / "train-images-boxable-with-rotation.csv").write_text(ids)
    (tmp_path / "target").mkdir()
    for number in range(3):
        (tmp_path / "target" / f"{number}.jpg").write_bytes(jpeg(50 + number))
    return Run(tmp_path / "run")


def settings_of(run: Run, pool: str) -> IndexSettings:
    return IndexSettings((f"folder:{run.folder.parent / 'target'}",), (pool,), download_later=True)


def chosen_without_images(run: Run) -> dict[str, object]:
    summary = index(run, settings_of(run, f"open_images:{run.folder.parent / 'oi'}")).summary
    score(run, ScoreSettings(scores=("diversity",)))
    select(run, SelectSettings(method="diversity", budget="3", name="first"))
    return summary


def test_csvs_alone_are_indexed_scored_and_chosen_from(open_images: Run) -> None:
    run = open_images
    summary = chosen_without_images(run)
    assert (summary["pool_images"], summary["boxes"], summary["not_on_disk"]) == (6, 21, 6)
    images = pl.read_parquet(run.images).filter(role="pool")
    assert images["split"].unique().to_list() == ["train"]
    assert images["path"][0] == str(run.folder.parent / "oi" / "images" / "train" / f"{1:016x}.jpg")
    remote = tables.read(run.remote, tables.REMOTE)
    assert remote["original"].sum() == 6
    assert remote.filter("original")["md5"].null_count() == 0
    scores = tables.read(run.scores_path, tables.SCORES)
    assert scores["objects"].to_list() == [1, 2, 3, 4, 5, 6]
    assert scores["layout"].null_count() == 6
    assert run.selection("first")["image_id"].to_list()[0] == f"oi/{6:016x}"
    holds = select(run, SelectSettings(method="holds_class", budget="2")).summary
    assert holds["images"] == 2
    with pytest.raises(SettingsError, match="no image has this score"):
        select(run, SelectSettings(method="layout", budget="3"))
    with pytest.raises(DataError, match="no image of the pool is on disk.*thresher download"):
        embed(run)
    with pytest.raises(DataError, match="shards.parquet: no such file.*thresher score .* --scores diversity"):
        score(run)


def test_a_text_list_is_what_the_official_downloader_takes(open_images: Run, tmp_path: Path) -> None:
    chosen_without_images(open_images)
    export(open_images, "first", "txt", tmp_path / "list.txt")
    lines = (tmp_path / "list.txt").read_text().splitlines()
    chosen = open_images.selection("first")["image_id"]
    assert lines == [f"train/{image_id.removeprefix('oi/')}" for image_id in chosen]


def test_what_is_downloaded_is_embedded_and_chosen_from_again(
    open_images: Run, tiny_network: Path, tmp_path: Path
) -> None:
    from thresher.stages.embed import EmbedSettings
    from thresher.stages.fit import FitSettings, fit

    run = open_images
    chosen_without_images(run)
    planned = download(run, "first", QUICK, dry_run=True).summary
    assert (planned["images"], planned["to_download"]) == (3, 3)
    result = download(run, "first", QUICK)
    assert (result.failed_items, result.summary["downloaded"], result.summary["failed"]) == (1, 2, 1)
    row = pl.read_parquet(run.problems).filter(stage="download").row(0, named=True)
    assert (row["image_id"], row["problem"]) == (f"oi/{6:016x}", "download_failed")
    assert "404" in row["detail"]
    again = download(run, "first", DownloadSettings(tries=1, timeout_s=2, per_second=0, originals=True))
    assert (again.failed_items, again.summary["on_disk"], again.summary["downloaded"]) == (0, 2, 1)
    assert pl.read_parquet(run.problems).filter(stage="download").is_empty()
    backbone = EmbedSettings(backbone=str(tiny_network))
    assert pl.read_parquet(run.images).height == 9
    embed(run, backbone)
    assert tables.read(run.pooled, tables.POOLED)["image_id"].str.starts_with("oi/").sum() == 3
    fit(run, FitSettings(components="1"))
    scored = score(run).summary
    assert (scored["scored_now"], scored["not_embedded"]) == (3, 3)
    scores = tables.read(run.scores_path, tables.SCORES)
    assert scores.filter(pl.col("layout").is_not_null())["image_id"].to_list() == sorted(
        run.selection("first")["image_id"]
    )
    assert scores["diversity"].null_count() == 0
    select(run, SelectSettings(method="layout_and_diversity", budget="2", name="second"))
    export(run, "second", "txt", tmp_path / "list.txt")
    assert all(Path(line).is_file() for line in (tmp_path / "list.txt").read_text().splitlines())
    # Read again, the index knows the same images, whether they are on disk or not, so the rest stays done.
    before = pl.read_parquet(run.images)
    assert index(run, settings_of(run, f"open_images:{run.folder.parent / 'oi'}")).status == "done"
    assert pl.read_parquet(run.images).equals(before)
    assert {state.word for state in status(run) if not state.name.startswith("select:")} == {"done"}
    first = run.selection("first")
    list(update(run))
    assert run.selection("first")["image_id"].equals(first["image_id"])
    assert {state.word for state in status(run)} == {"done"}


def test_without_the_flag_nothing_changes(open_images: Run) -> None:
    plain = IndexSettings(
        (f"folder:{open_images.folder.parent / 'target'}",), (f"open_images:{open_images.folder.parent / 'oi'}",)
    )
    with pytest.raises(DataError, match="--download-later"):
        index(open_images, plain)


def coco(tmp_path: Path, address: str, *names: str, **more: object) -> Path:
    root = tmp_path / "set"
    (root / "annotations").mkdir(parents=True)
    images = [
        {"id": n, "width": 64, "height": 64, "coco_url": f"{address}{name}", **more}
        | ({} if "train2017/" in name else {"file_name": name})
        for n, name in enumerate(names)
    ]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 8 * n + 8, 8]} for n in range(len(names))]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "car"}]}
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    return root


@pytest.mark.parametrize("name", ["0001.jpg", "train2017/0001.jpg"])
def test_coco_and_lvis_with_addresses_are_downloaded(tmp_path: Path, served: tuple[Path, str], name: str) -> None:
    folder, address = served
    (folder / name).parent.mkdir(exist_ok=True)
    picture = jpeg(40)
    (folder / name).write_bytes(picture)
    root = coco(tmp_path, address, name)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "t.jpg").write_bytes(jpeg(10))
    run = Run(tmp_path / "run")
    index(run, settings_of(run, f"coco:{root}"))
    score(run, ScoreSettings(scores=("diversity",)))
    select(run, SelectSettings(method="holds_class", budget="1", name="one"))
    assert download(run, "one", QUICK).summary["downloaded"] == 1
    assert (root / "train2017" / "0001.jpg").read_bytes() == picture
    before = pl.read_parquet(run.images)
    summary = index(run, settings_of(run, f"coco:{root}")).summary
    assert summary["not_on_disk"] == 0
    assert pl.read_parquet(run.images).equals(before)


@pytest.mark.parametrize("name", ["../../out.jpg", "/etc/out.jpg", "train2017/../../out.jpg", "a.sh", "x\0.jpg"])
def test_a_name_that_leads_out_of_the_root_is_no_image_to_download(tmp_path: Path, name: str) -> None:
    from thresher.data.readers import coco as reader

    root = coco(tmp_path, "http://127.0.0.1:1/", "good.jpg", "x.jpg")
    file = root / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["images"][1]["file_name"] = name
    file.write_text(json.dumps(content))
    read = reader.read(root, None, "set", later=True)
    assert read.images["image_id"].to_list() == ["set/train2017/good"]
    assert read.problems["problem"].to_list() == ["image_missing"]


def test_a_training_takes_those_that_are_on_disk(open_images: Run, tmp_path: Path) -> None:
    target = tmp_path / "masked"
    for folder in ("images", "masks"):
        (target / folder).mkdir(parents=True)
    for number in range(5):
        Image.new("RGB", (32, 32), (40 * number, 0, 0)).save(target / "images" / f"{number}.png")
        Image.new("L", (32, 32), number).save(target / "masks" / f"{number}.png")
    index(open_images, IndexSettings((f"masks:{target}",), (f"open_images:{tmp_path / 'oi'}",), download_later=True))
    score(open_images, ScoreSettings(scores=("diversity",)))
    select(open_images, SelectSettings(method="diversity", budget="3", name="first"))
    settings = TrainSettings(selection="first", mode="hierarchical")
    with pytest.raises(DataError, match="none of the 3 images .* is on disk. Run `thresher download .*run first`"):
        planned_steps(open_images, settings)
    for path in open_images.selection("first").join(pl.read_parquet(open_images.images), on="image_id")["path"][:2]:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(jpeg(90))
    planned = planned_steps(open_images, settings)
    assert (planned["weak_images"], planned["not_on_disk"]) == (2, 1)


def test_the_commands_of_the_guide_work(open_images: Run, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "csvs-first.md").read_text("utf-8")
    folder = open_images.folder.parent
    places = {
        "runs/oi": str(folder / "run"),
        "cityscapes:/data/cityscapes#train": f"folder:{folder / 'target'}",
        "/data/oi": str(folder / "oi"),
        "--budget 20000": "--budget 3",
    }
    commands = page.partition("```bash\n")[2].partition("```")[0].splitlines()
    codes = []
    for old, new in places.items():
        commands = [command.partition("   #")[0].replace(old, new) for command in commands]
    for command in commands:
        with pytest.raises(SystemExit) as left:
            main(command.split()[1:])
        codes.append(left.value.code)
    assert codes == [0, 0, 0, 4]  # one image is gone from the bucket
    assert len(list((folder / "oi" / "images" / "train").iterdir())) == 2
