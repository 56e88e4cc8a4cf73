"""export-network: a trained network → one ONNX file."""

from __future__ import annotations

from pathlib import Path

from thresher.errors import SettingsError
from thresher.files import replacing
from thresher.pretrained import pad_statically
from thresher.run.folder import AnyRun, as_run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult


def export_network(run: AnyRun, training: str, out: Path | str) -> StageResult:
    """Write a trained network as ONNX: 8-bit RGB images in, the logits of each classifier out, by its name.

    The batch may have any number of images of any height and width that are multiples of 32. The file's metadata says
    what the outputs mean: `classes`, `tree`, `void_id`, `short_side` and `thresher_version`, as JSON.

    Args:
        training: The training's name.
        out: The .onnx file to write.

    Raises:
        SettingsError: no such training, a network that ONNX cannot express, or `out` does not end in .onnx.
    """
    run, out = as_run(run), Path(out)
    from thresher import __version__
    from thresher.segmentation.exported import onnx_network
    from thresher.segmentation.trained import onnx_metadata, trained_network

    if out.suffix != ".onnx":
        raise SettingsError(f"out = {out}: expected a file name that ends in .onnx.")
    trained = trained_network(OpenedRun(run).checkpoint(training))
    pad_statically(trained.network)
    metadata = onnx_metadata(trained) | {"thresher_version": __version__}
    content = onnx_network(trained.network, trained.tree, metadata)
    with replacing(out) as file:
        file.write(content)
    outputs = [classifier.name for classifier in trained.tree.classifiers]
    return StageResult("export-network", "done", {"out": str(out), "outputs": outputs, "file_bytes": len(content)})
