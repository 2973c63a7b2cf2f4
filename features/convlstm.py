"""The paper's ConvLSTM autoencoder (section 2.3.1): a clip becomes one embedding and comes back."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

KIND = "convlstm-autoencoder"


@dataclass(frozen=True)
class ConvLstmConfig:
    """Sizes of the autoencoder; hidden 64, pixels of 0..255 are the paper's (3.1.2, Table II)."""

    channels: int = 3
    hidden: int = 64
    normalised: bool = False  # True: pixels of 0..1 in and out

    def __post_init__(self) -> None:
        """Refuse sizes that are no sizes."""
        if self.channels < 1 or self.hidden < 1:
            raise ValueError(f"channels {self.channels} and hidden {self.hidden} must be 1 or more")


class ConvLstmCell(nn.Module):
    """One 3x3 convolution of input and hidden state to four gates.

    They stand in the order input, forget, output, content, as in the published weights.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.conv = nn.Conv2d(channels + hidden, 4 * hidden, kernel_size=3, padding=1)

    def forward(self, value: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Next hidden and cell state; all of (B, C, H, W), value with the input's channels."""
        gates = self.conv(torch.cat([value, hidden], dim=1))
        enter, forget, output, content = gates.chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(content)
        return torch.sigmoid(output) * torch.tanh(cell), cell


class ConvLstmAutoencoder(nn.Module):
    """Two cells read the frames, two more unfold the embedding, a 3D convolution paints them."""

    def __init__(self, config: ConvLstmConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden
        self.encoder_1 = ConvLstmCell(config.channels, width)
        self.encoder_2 = ConvLstmCell(width, width)
        self.decoder_1 = ConvLstmCell(width, width)
        self.decoder_2 = ConvLstmCell(width, width)
        self.painter = nn.Conv3d(width, config.channels, kernel_size=(1, 3, 3), padding=(0, 1, 1))

    def encode(self, clip: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embedding of each clip.

        clip: (B, C, D, H, W) float, pixels of 0..255 (0..1 if normalised)
        lengths: (B,) int, frames that are real; what stands behind them changes nothing
        returns: (B, hidden, H, W)
        """
        n_frames = clip.shape[2]
        first, second = self._zeros(clip), self._zeros(clip)
        for t in range(n_frames):
            next_first = _step(self.encoder_1, clip[:, :, t], first)
            next_second = _step(self.encoder_2, next_first[0], second)
            if lengths is None:
                first, second = next_first, next_second
            else:
                # The state freezes behind the last real frame: a row's embedding must not depend
                # on how long its neighbours in the batch are (a defect of the original).
                is_real = (lengths > t).view(-1, 1, 1, 1)
                first = _where(is_real, next_first, first)
                second = _where(is_real, next_second, second)
        return second[0]

    def decode(self, embedding: Tensor, n_frames: int) -> Tensor:
        """Frames unfolded from the embedding.

        The first step reads the embedding, each later one what the step before it gave.
        embedding: (B, hidden, H, W)    returns: (B, C, D, H, W), pixels as in `encode`
        """
        first, second = self._zeros(embedding), self._zeros(embedding)
        value = embedding
        outputs = []
        for _ in range(n_frames):
            first = _step(self.decoder_1, value, first)
            second = _step(self.decoder_2, first[0], second)
            value = second[0]
            outputs.append(value)
        painted = torch.sigmoid(self.painter(torch.stack(outputs, dim=2)))
        return painted if self.config.normalised else 255 * painted

    def forward(self, clip: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The embedding and the reconstruction, shaped as in `encode` and `decode`."""
        embedding = self.encode(clip, lengths)
        return embedding, self.decode(embedding, clip.shape[2])

    def load_original(self, state: Mapping[str, Tensor]) -> None:
        """Take over weights under the research code's names (`decoder_CNN` paints)."""
        renamed = {name.replace("decoder_CNN.", "painter."): value for name, value in state.items()}
        self.load_state_dict(renamed)

    def _zeros(self, like: Tensor) -> tuple[Tensor, Tensor]:
        zeros = like.new_zeros(like.shape[0], self.config.hidden, *like.shape[-2:])
        return zeros, zeros


def reconstruction_loss(
    reconstruction: Tensor, clip: Tensor, lengths: Tensor | None = None
) -> Tensor:
    """Mean squared error, each real frame counting the same; both (B, C, D, H, W), lengths (B,)."""
    squared = (reconstruction - clip).square().mean(dim=(1, 3, 4))
    if lengths is None:
        return squared.mean()
    is_real = torch.arange(clip.shape[2], device=clip.device) < lengths.unsqueeze(1)
    return torch.where(is_real, squared, 0).sum() / is_real.sum()


def _step(
    cell: ConvLstmCell, value: Tensor, state: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """One step with the two states swapped, as the published weights were trained.

    The original's cell returned (cell, hidden) and its loop took them as (hidden, cell), so what
    is called the hidden state everywhere in its network is the cell state, in about (-2, 2). The
    textbook order does not run those weights, so there is no switch for it.
    """
    hidden, cell_state = cell(value, state[0], state[1])
    return cell_state, hidden


def _where(
    condition: Tensor, new: tuple[Tensor, Tensor], old: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    return torch.where(condition, new[0], old[0]), torch.where(condition, new[1], old[1])
