"""Whisper's encoder on 30 s windows of sound, with the states between its blocks.

For a window M of log-mel spectrogram (80 x 3000) the states are x0 = the first block's input
(convolutions plus positions) and x1..xL = the residual stream after each block, before the final
norm: (L + 1, 1500, E), for base (7, 1500, 512).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from whisper.audio import N_FRAMES, log_mel_spectrogram
from whisper.model import Whisper

from features.waveform import Waveform


@dataclass(frozen=True)
class Window:
    """Up to 30 s of sound, encoded. states (L+1, 1500, E), features (1, 1500, E), both float32."""

    start_frame: int
    n_frames: int
    states: Tensor
    features: Tensor

    def state_sum(self, start: int = 0, end: int | None = None) -> Tensor:
        """Sum the states of some real frames, in float64: (L+1, E)."""
        end = self.n_frames if end is None else min(end, self.n_frames)
        # float64, because channel 388 of base spikes to ±560 and 16-bit sums overflow.
        return self.states[:, start:end].sum(dim=1, dtype=torch.float64)


class WindowEncoder:
    """Encodes one window at a time: a row's numbers cannot depend on what it is batched with.

    Batching gains nothing on a CPU, where the 1500 frames of one window already fill the cores.
    """

    def __init__(
        self, network: Whisper, *, dtype: torch.dtype | None = None, device: str = "cpu"
    ) -> None:
        """dtype: what matrices are multiplied in, None for float32; all sums stay in float32."""
        self._encoder = network.encoder
        self._n_mels: int = network.dims.n_mels
        self._dtype = dtype
        self._device = device
        self._device_type = torch.device(device).type

    def mel(self, waveform: Waveform) -> Tensor:
        """Return the whole file's log-mel spectrogram: (n_mels, M), 10 ms a column."""
        mel: Tensor = log_mel_spectrogram(torch.from_numpy(waveform.samples), self._n_mels)
        return mel

    @torch.inference_mode()
    def encode(self, mel: Tensor, start_frame: int) -> Window:
        """Encode the window that begins at a 20 ms frame; what is missing to 30 s is zeros.

        Zeros in the spectrogram, not silence in the sound: the paper's rule, and Whisper's own.
        """
        piece = mel[:, 2 * start_frame : 2 * start_frame + N_FRAMES]
        n_frames = math.ceil(piece.shape[1] / 2)
        padded = torch.nn.functional.pad(piece, (0, N_FRAMES - piece.shape[1]))
        with (
            self._recorded_states() as states,
            torch.autocast(self._device_type, self._dtype, enabled=self._dtype is not None),
        ):
            features = self._encoder(padded[None].to(self._device))
        return Window(start_frame, n_frames, torch.cat(states).cpu(), features.float())

    @contextmanager
    def _recorded_states(self) -> Iterator[list[Tensor]]:
        states: list[Tensor] = []

        def keep_input(_block: object, inputs: tuple[Tensor]) -> tuple[Tensor]:
            # Passed on in float32, so that the residual stream is summed in it under autocast too.
            states.append(inputs[0].float())
            return (states[0],)

        def keep_output(_block: object, _inputs: object, output: Tensor) -> None:
            states.append(output)

        blocks = self._encoder.blocks
        hooks = [blocks[0].register_forward_pre_hook(keep_input)]
        hooks += [block.register_forward_hook(keep_output) for block in blocks]
        try:
            yield states
        finally:
            for hook in hooks:
                hook.remove()
