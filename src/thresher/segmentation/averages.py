"""The moving average of a network's weights, which is better than the weights of any one step."""

from __future__ import annotations

import torch


class Averages:
    """An exponential moving average of each tensor of a network's state; counts are those of the last step."""

    def __init__(self, network: torch.nn.Module) -> None:
        """Start from the network as it is; follows it from then on."""
        self._followed = network.state_dict()  # shares its memory with the network
        self.state = {name: tensor.clone() for name, tensor in self._followed.items()}

    @torch.no_grad()
    def add(self, step: int, ema: float) -> None:
        """Add the network's tensors as they are after this step: average = d · average + (1 − d) · tensor.

        d = min(ema, (1 + step) / (10 + step)), so that the random start is soon forgotten.

        Source: Polyak & Juditsky 1992; the warm-up is that of TensorFlow's ExponentialMovingAverage.
        """
        decay = min(ema, (1 + step) / (10 + step))
        exact = [name for name, tensor in self.state.items() if not tensor.is_floating_point()]
        moving = [name for name, tensor in self.state.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.state[n] for n in moving], [self._followed[n] for n in moving], 1 - decay)
        for name in exact:
            self.state[name].copy_(self._followed[name])

    @torch.no_grad()
    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from an earlier average."""
        for name, tensor in self.state.items():
            tensor.copy_(state[name])
