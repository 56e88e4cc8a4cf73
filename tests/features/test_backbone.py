from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch

from thresher.errors import SettingsError
from thresher.features.backbone import (
    Backbone,
    BackboneSettings,
    backbone_digest,
    backbone_file,
    open_backbone,
)
from thresher.pretrained import weights_file

pytestmark = pytest.mark.slow


def load_backbone(settings: BackboneSettings, onnx_path: Path) -> Backbone:
    file = backbone_file(settings, onnx_path)
    return open_backbone(file.path, file.mean, file.std)


@pytest.fixture(scope="module")
def onnx_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backbone") / "backbone.onnx"


def test_features_equal_timm_with_the_packaged_weights_loaded_by_order(onnx_path: Path) -> None:
    settings = BackboneSettings()
    backbone = load_backbone(settings, onnx_path)
    image = np.random.default_rng(0).integers(0, 255, (224, 320, 3), np.uint8)
    found = backbone.features(image)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    state = torch.load(weights_file(settings.backbone), weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    with torch.inference_mode():
        scaled = (torch.from_numpy(image).permute(2, 0, 1)[None].float() - 127) / 128
        stages = model.blocks(model.bn1(model.conv_stem(scaled)))
    assert found.shape == (7, 10, 320)
    np.testing.assert_allclose(found, stages[0].permute(1, 2, 0).numpy(), atol=1e-3)


def test_an_onnx_file_and_a_checkpoint_serve_as_well(onnx_path: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 255, (64, 96, 3), np.uint8)
    load_backbone(BackboneSettings(), onnx_path)
    assert load_backbone(BackboneSettings(backbone=str(onnx_path)), tmp_path / "unused").features(image).shape == (
        2,
        3,
        320,
    )
    model = timm.create_model("resnet10t", pretrained=False)
    torch.save(model.state_dict(), tmp_path / "resnet.pth")
    settings = BackboneSettings(backbone="resnet10t", weights=tmp_path / "resnet.pth", feature_level=-2)
    assert load_backbone(settings, tmp_path / "resnet.onnx").features(image).shape == (4, 6, 256)


def test_no_padding_is_left_to_be_worked_out_at_run_time(onnx_path: Path) -> None:
    """It stood in the way of onnxruntime's layout and cost a sixth of the time."""
    backbone_file(BackboneSettings(), onnx_path)
    operations = {node.op_type for node in onnx.load(onnx_path).graph.node}
    assert "Conv" in operations
    assert not operations & {"Shape", "Ceil", "Gather"}


def test_digest_changes_with_whatever_changes_features(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"one")
    settings = [
        BackboneSettings(),
        BackboneSettings(short_side=256),
        BackboneSettings(feature_level=-2),
        BackboneSettings(weights=tmp_path / "w.pth"),
        BackboneSettings(mode="fast"),
    ]
    assert len({backbone_digest(each) for each in settings}) == 5
    before = backbone_digest(settings[3])
    (tmp_path / "w.pth").write_bytes(b"two")
    assert backbone_digest(settings[3]) != before
    assert backbone_digest(BackboneSettings()) == backbone_digest(settings[0])


def test_words_of_errors(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match="'efficentnet_b0': timm knows no such model. Did you mean .*'efficientnet_b0'"
    ):
        weights_file("efficentnet_b0", allow_download=True)
    with pytest.raises(SettingsError, match="no packaged weights. Give a checkpoint .* allow the download"):
        weights_file("resnet50")
    with pytest.raises(SettingsError, match=r"nowhere\.pth: no such file"):
        weights_file("tf_efficientnet_lite0", tmp_path / "nowhere.pth")
    with pytest.raises(SettingsError, match="short_side = 100: expected a multiple of 32"):
        BackboneSettings(short_side=100)
    other = timm.create_model("resnet10t", pretrained=False)
    torch.save(other.state_dict(), tmp_path / "other.pth")
    with pytest.raises(SettingsError, match="tensors are missing or of another shape .* checkpoint of this model"):
        load_backbone(BackboneSettings(weights=tmp_path / "other.pth"), tmp_path / "x.onnx")
    with pytest.raises(SettingsError, match="not a timm model. Close names"):
        load_backbone(BackboneSettings(backbone="tf_efficientnet_lite", weights=tmp_path / "other.pth"), tmp_path / "x")


@pytest.mark.parametrize("name", ["words.onnx", "classifier.onnx", "narrow.onnx"])
def test_a_file_that_is_no_such_network_is_one_line_before_any_worker_starts(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "words.onnx":
        path.write_text("<html>404</html>")
    else:
        given = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, "h", "w"])
        shape = [1, 3] if name == "classifier.onnx" else [1, 7, "h", "w"]
        asked = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, shape)
        node = onnx.helper.make_node("ReduceMean", ["image"], ["features"], axes=[2, 3], keepdims=0)
        if name == "narrow.onnx":
            given = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 7, "h", "w"])
            node = onnx.helper.make_node("Relu", ["image"], ["features"])
        graph = onnx.helper.make_graph([node], "made up", [given], [asked])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, path)
    with pytest.raises(SettingsError, match=rf"backbone .*{name}: cannot be run .*Expected an ONNX network") as raised:
        backbone_file(BackboneSettings(backbone=str(path)), tmp_path / "unused.onnx")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_no_checkpoint_are_one_line(tmp_path: Path, suffix: str) -> None:
    words, listed = tmp_path / f"words{suffix}", tmp_path / "listed.pth"
    words.write_text("<html>404</html>")
    torch.save([1, 2], listed)
    for path, what in ((words, "not a checkpoint"), (listed, "expected tensors by their names; found a list")):
        with pytest.raises(SettingsError, match=what) as raised:
            backbone_file(BackboneSettings(backbone="resnet10t", weights=path), tmp_path / "unused.onnx")
        assert "\n" not in str(raised.value)
