"""What training makes small, by name: of predictions on the target's scale, or of class scores."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

Loss = Literal["mse", "mae", "huber", "pinball", "cross_entropy"]
CLASS_LOSS: Loss = "cross_entropy"

#: Predicted and wanted, both (B,), to their mean loss.
REGRESSION_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": nn.functional.mse_loss,
    "mae": nn.functional.l1_loss,
    "huber": nn.functional.smooth_l1_loss,
}
LOSSES: tuple[str, ...] = (*REGRESSION_LOSSES, "pinball", CLASS_LOSS)


def pinball(predicted: Tensor, wanted: Tensor, *, tau: float) -> Tensor:
    """Loss that is least where a share `tau` of the rows lies below its prediction."""
    gap = wanted - predicted
    return torch.maximum(tau * gap, (tau - 1) * gap).mean()


def loss_of(name: Loss, *, tau: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of that name; of classes it takes scores (B, 4) and quarters (B,) int64."""
    if name == CLASS_LOSS:
        return nn.functional.cross_entropy
    return partial(pinball, tau=tau) if name == "pinball" else REGRESSION_LOSSES[name]
