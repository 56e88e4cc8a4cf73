"""Where a training computes: which device, at which precision, and as one of how many processes."""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch

from thresher.errors import SettingsError

Network = TypeVar("Network", bound=torch.nn.Module)
#: What layers compute in while they learn.
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Layer = Callable[[torch.Tensor], torch.Tensor]
#: While the first process validates, the others wait for its next step.
_PATIENCE = timedelta(hours=6)
# Source: malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def accelerator(precision: Precision = "auto") -> Any:
    """accelerate's view of this process: `accelerate launch` says how many there are, alone there is one.

    Raises:
        SettingsError: accelerate is not installed, or float16 is asked of a CPU.
    """
    try:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs
    except ModuleNotFoundError as error:
        raise SettingsError(f"training needs {error.name}: pip install 'thresher[train]'.") from error
    # accelerate scales the losses of float16. bfloat16 needs no scaling, and `mixed` is all that it takes.
    scaled = "fp16" if chosen_precision(precision) == "float16" else "no"
    _keep_freed_memory()
    waiting = InitProcessGroupKwargs(timeout=_PATIENCE)
    return Accelerator(mixed_precision=scaled, cpu=not torch.cuda.is_available(), kwargs_handlers=[waiting])


def chosen_precision(wanted: Precision) -> Precision:
    """What `auto` comes to here: bfloat16 where GPU or CPU multiply it, float16 on older GPUs, else float32.

    Raises:
        SettingsError: float16 is asked of a CPU, whose losses would not be scaled.
    """
    on_gpu = torch.cuda.is_available()
    if wanted == "float16" and not on_gpu:
        raise SettingsError("precision = float16: expected auto, float32 or bfloat16, as there is no GPU here.")
    if wanted != "auto":
        return wanted
    if on_gpu:
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    # Older versions of torch do not tell what a CPU can do.
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


def mixed(accelerator: Any, precision: Precision) -> torch.autocast:
    """Within it, layers that bear it compute in bfloat16, if that is the precision chosen; weights stay float32."""
    rounds = chosen_precision(precision) == "bfloat16"
    return torch.autocast(accelerator.device.type, torch.bfloat16, enabled=rounds)


def placed(network: Network, accelerator: Any) -> Network:
    """The network on this process's device, its tensors' channels last, as convolutions prefer them."""
    if accelerator.device.type == "cpu":
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.groups == layer.in_channels > 1:
                layer.forward = _in_float32(layer.forward)  # type: ignore[assignment, method-assign]
            elif isinstance(layer, torch.nn.GroupNorm):
                layer.forward = _channels_first(layer.forward)  # type: ignore[assignment, method-assign]
    return network.to(device=accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _in_float32(forward: Layer) -> Layer:
    """A layer that stays in float32 within `mixed`. Depthwise convolutions should: on CPUs their gradients take three
    to four times as long in bfloat16, more than all other layers gain by it.
    """

    def whole(features: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return forward(features.float())

    return whole


def _channels_first(forward: Layer) -> Layer:
    """A layer that within `mixed` is given its channels one after the other. Normalisation of groups should: on CPUs
    its gradients take up to twenty times as long in bfloat16 with channels last.
    """

    def turned(features: torch.Tensor) -> torch.Tensor:
        if features.dtype != torch.bfloat16:
            return forward(features)
        return forward(features.contiguous()).contiguous(memory_format=torch.channels_last)

    return turned


def told_to_all(accelerator: Any, word: Any) -> Any:
    """What the first process says, in each of them; all must ask."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([word])[0] if accelerator.num_processes > 1 else word


def told_by_all(accelerator: Any, words: list[Any]) -> list[Any]:
    """What each process says, one after the other, in each of them; all must ask."""
    from accelerate.utils import gather_object

    return list(gather_object(words)) if accelerator.num_processes > 1 else words


def _keep_freed_memory() -> None:
    """Let the C library keep large blocks of memory for the next use, where it is glibc; undone by no one.

    By default it gives each tensor of more than 32 MB back to the system and asks for its pages again at every layer,
    which took up to a tenth of a step.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 2**30)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def scaler_state(accelerator: Any) -> dict[str, Any] | None:
    """How far losses are scaled, as JSON values; None where they are not."""
    state: dict[str, Any] | None = None if accelerator.scaler is None else accelerator.scaler.state_dict()
    return state


def restore_scaler(accelerator: Any, state: dict[str, Any] | None) -> None:
    """Go on with the scale of a checkpoint; one from another kind of device has none to tell."""
    if accelerator.scaler is not None and state:
        accelerator.scaler.load_state_dict(state)


def release_memory() -> None:
    """Give back the GPU memory that torch keeps for later use, so that other processes on the same GPU can have it."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
