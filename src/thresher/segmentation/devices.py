"""Where a training computes: which device, at which precision, and as one of how many processes."""

from __future__ import annotations

import ctypes
import platform
from datetime import timedelta
from typing import Any, TypeVar

import torch

from thresher.errors import SettingsError

Network = TypeVar("Network", bound=torch.nn.Module)
#: While the first process validates, the others wait for its next step.
_PATIENCE = timedelta(hours=6)
# Source: malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def accelerator() -> Any:
    """accelerate's view of this process: `accelerate launch` says how many there are, alone there is one.

    Mixed precision where a GPU has it: bfloat16, or float16 with scaled losses on older ones; never on a CPU.

    Raises:
        SettingsError: accelerate is not installed.
    """
    try:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs
    except ModuleNotFoundError as error:
        raise SettingsError(f"training needs {error.name}: pip install 'thresher[train]'.") from error
    precision = "no"
    if torch.cuda.is_available():
        precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    _keep_freed_memory()
    waiting = InitProcessGroupKwargs(timeout=_PATIENCE)
    return Accelerator(mixed_precision=precision, cpu=not torch.cuda.is_available(), kwargs_handlers=[waiting])


def placed(network: Network, accelerator: Any) -> Network:
    """The network on this process's device, its tensors' channels last, as convolutions prefer them."""
    return network.to(device=accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


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
