"""Where a training runs: on which device, in which precision, and as one of how many processes."""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch

from thresher import extras
from thresher.errors import SettingsError

Network = TypeVar("Network", bound=torch.nn.Module)
#: Number format in which layers compute while they are trained.
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Layer = Callable[[torch.Tensor], torch.Tensor]
#: How long a process waits for the others: while the first one validates, they wait for its next step.
_PATIENCE = timedelta(hours=6)
# Source: malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def fastest_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def accelerator(precision: Precision = "auto") -> Any:
    """accelerate's `Accelerator` of this process: its device, and how many processes `accelerate launch` has started.

    Raises:
        SettingsError: accelerate is not installed, or float16 is asked of a CPU.
    """
    try:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs
    except ModuleNotFoundError as error:
        raise SettingsError(f"training needs {error.name}: {extras.install('train')}") from error
    # accelerate scales the losses for float16. bfloat16 needs no scaling; `mixed` does all it takes.
    scaled = "fp16" if chosen_precision(precision) == "float16" else "no"
    _keep_freed_memory()
    waiting = InitProcessGroupKwargs(timeout=_PATIENCE)
    return Accelerator(mixed_precision=scaled, cpu=not torch.cuda.is_available(), kwargs_handlers=[waiting])


def chosen_precision(wanted: Precision) -> Precision:
    """The precision that `auto` stands for on this machine; any other stands for itself.

    It is bfloat16 where the GPU or CPU multiplies bfloat16 in hardware, float16 on older GPUs, else float32.

    Raises:
        SettingsError: float16 is asked for without a GPU, where losses are not scaled.
    """
    on_gpu = torch.cuda.is_available()
    if wanted == "float16" and not on_gpu:
        raise SettingsError("precision = float16: expected auto, float32 or bfloat16, as this machine has no GPU.")
    if wanted != "auto":
        return wanted
    if on_gpu:
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    # Older versions of torch do not say what a CPU supports.
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"


def mixed(accelerator: Any, precision: Precision) -> torch.autocast:
    """Context in which layers compute in bfloat16, if that is the chosen precision; weights stay float32.

    Layers that lose too much by it, such as normalisation, stay in float32 (torch's autocast decides).
    """
    rounds = chosen_precision(precision) == "bfloat16"
    return torch.autocast(accelerator.device.type, torch.bfloat16, enabled=rounds)


def placed(network: Network, accelerator: Any) -> Network:
    """The network on this process's device, its tensors in channels-last order, in which convolutions are faster."""
    if accelerator.device.type == "cpu":
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.groups == layer.in_channels > 1:
                layer.forward = _in_float32(layer.forward)  # type: ignore[assignment, method-assign]
            elif isinstance(layer, torch.nn.GroupNorm):
                layer.forward = _channels_first(layer.forward)  # type: ignore[assignment, method-assign]
    moved: Network = network.to(device=accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def _in_float32(forward: Layer) -> Layer:
    """A layer's forward that stays in float32 within `mixed`.

    For depthwise convolutions: on CPUs their gradients take three to four times as long in bfloat16, which costs more
    than all other layers gain.
    """

    def whole(features: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return forward(features.float())

    return whole


def _channels_first(forward: Layer) -> Layer:
    """A layer's forward that gets bfloat16 features in channels-first order.

    For group normalisation: on CPUs its gradients take up to twenty times as long in bfloat16 with channels last.
    """

    def turned(features: torch.Tensor) -> torch.Tensor:
        if features.dtype != torch.bfloat16:
            return forward(features)
        return forward(features.contiguous()).contiguous(memory_format=torch.channels_last)

    return turned


def broadcast(accelerator: Any, word: Any) -> Any:
    """`word` of rank 0, on every rank. Collective: every process must call it."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([word])[0] if accelerator.num_processes > 1 else word


def gather(accelerator: Any, words: list[Any]) -> list[Any]:
    """The lists of all ranks, joined in their order, on every rank. Collective: every process must call it."""
    from accelerate.utils import gather_object

    return list(gather_object(words)) if accelerator.num_processes > 1 else words


def _keep_freed_memory() -> None:
    """Make glibc keep large freed blocks of memory for reuse, for the rest of this process's life.

    By default it returns each tensor of more than 32 MB to the system and gets its pages anew at every layer, which
    took up to a tenth of a step. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 2**30)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def scaler_state(accelerator: Any) -> dict[str, Any] | None:
    """The state of the loss scaler, as JSON values; None if losses are not scaled."""
    state: dict[str, Any] | None = None if accelerator.scaler is None else accelerator.scaler.state_dict()
    return state


def restore_scaler(accelerator: Any, state: dict[str, Any] | None) -> None:
    """Load the loss scaler's state from a checkpoint, if losses are scaled on this device and were on that one's."""
    if accelerator.scaler is not None and state:
        accelerator.scaler.load_state_dict(state)


def release_memory() -> None:
    """Give back the GPU memory that torch keeps for later use, so that other processes on the same GPU can have it."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
