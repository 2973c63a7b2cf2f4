"""The modern network proper: one token per block of a row, a small transformer, quantiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model.base import learned
from model.blocks.encoder import Block, BlockConfig
from model.errors import BadSetting
from model.modern.neighbours import NAME as NEIGHBOURS
from model.quantiles import LEVELS, ascending

NUMERIC: Final = frozenset({"meta", "form", "tags", "author", NEIGHBOURS})


@dataclass(frozen=True)
class ModernConfig(BlockConfig):
    """Settings of the model, and after solving the sizes of what it learned.

    folds: networks, each stopped early on the authors that it has not seen. visits: at most so
    many rows are shown to a network of each fold, epochs permitting; at least `min_epochs` though.
    small_below: with fewer training rows there is no network. calibration: share of the newest
    training rows that intervals and weights are learned on, by a model that has not seen them; it
    grows to a third where it would be fewer than calibration_rows.
    trees, leaves: of the boosting, at most. Learned (0 until then): n_columns of the ridge, n_trees
    of n_nodes, n_members networks, n_store rows among which neighbours are sought, has_interval.
    """

    use_author: bool = True
    width: int = 64
    heads: int = 4
    layers: int = 2
    bins: int = 10
    dropout: float = 0.3
    modality_drop: float = 0.15
    lr: float = 1e-3
    weight_decay: float = 0.1
    batch: int = 64
    epochs: int = 60
    min_epochs: int = 5
    visits: int = 120_000
    patience: int = 12
    folds: int = 3
    neighbours: int = 10
    store_rows: int = 20_000
    boost_rows: int = 50_000
    small_below: int = 1_000
    calibration: float = 0.2
    calibration_rows: int = 500
    trees: int = 300
    leaves: int = 8
    n_columns: int = learned(0)
    n_trees: int = learned(0)
    n_nodes: int = learned(1)
    n_members: int = learned(0)
    n_store: int = learned(0)
    has_interval: bool = learned(False)

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = (self.width, self.heads, self.layers, self.bins, self.batch, self.epochs)
        if min(*sizes, self.folds, self.patience, self.neighbours, self.store_rows, self.trees) < 1:
            raise BadSetting(f"every size of the modern model must be 1 or more: {self}")
        if self.width % self.heads:
            raise BadSetting(f"width {self.width} must be a multiple of {self.heads} heads")
        if not (0 <= self.dropout < 1 and 0 <= self.modality_drop < 1):
            raise BadSetting(
                f"dropout {self.dropout} and modality_drop {self.modality_drop} must be in [0, 1)"
            )
        if not self.lr > 0 or self.leaves < 2:
            raise BadSetting(f"lr {self.lr} must be above 0, leaves {self.leaves} 2 or more")
        if not 0 < self.calibration < 1:
            raise BadSetting(f"calibration {self.calibration} must be a share between 0 and 1")


class Bins(nn.Module):
    """Each number as how far it has come through each of `n_bins` bins, 0 before and 1 behind.

    Piecewise-linear encoding (Gorishniy et al. 2022): a network of straight lines and few rows
    learns a bend in "hour" or "duration" from it. Borders are quantiles of the training rows.
    """

    borders: Tensor

    def __init__(self, width: int, n_bins: int) -> None:
        super().__init__()
        self.register_buffer("borders", torch.zeros(width, n_bins + 1))

    def learn(self, values: NDArray[np.float32]) -> None:
        """Set the borders by rows (n, width); leaves them where there is none."""
        if len(values):
            at = np.linspace(0, 1, self.borders.shape[1])
            borders = np.quantile(values.astype(np.float64), at, axis=0).T
            self.borders.copy_(torch.from_numpy(borders.astype(np.float32)))

    def forward(self, value: Tensor) -> Tensor:
        """value: (B, width) float32    returns: (B, width * n_bins) in [0, 1]"""
        start, stop = self.borders[:, :-1], self.borders[:, 1:]
        # A bin without width, where many rows have the same number, becomes a step.
        through = (value.unsqueeze(2) - start) / (stop - start).clamp_min(1e-6)
        return through.clamp(0, 1).flatten(1)


class Layer(nn.Module):
    """A transformer layer, normalised before each half, that answers only what is asked."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.mixed = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)
        self.feed = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor, n_asked: int) -> Tensor:
        """tokens: (B, T, E)    returns: the first n_asked of them, (B, n_asked, E)"""
        n, width = len(tokens), tokens.shape[2]
        normed = self.before(tokens)
        query = self.query(normed[:, :n_asked])
        key, value = self.key_value(normed).chunk(2, dim=2)
        query, key, value = (
            part.reshape(n, -1, self.heads, width // self.heads).transpose(1, 2)
            for part in (query, key, value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        asked = tokens[:, :n_asked] + self.drop(self.mixed(mixed.transpose(1, 2).flatten(2)))
        answered: Tensor = asked + self.feed(asked)
        return answered


class Tower(nn.Module):
    """One member of the ensemble: the blocks of a row in, 7 ascending quantiles out."""

    def __init__(self, blocks: Sequence[Block], config: ModernConfig) -> None:
        super().__init__()
        self.config = config
        self.widths = [block.width for block in blocks]
        width = config.width
        numeric = [block for block in blocks if block.name in NUMERIC]
        self.bins = nn.ModuleDict({b.name: Bins(b.width, config.bins) for b in numeric})
        self.names = [block.name for block in blocks]
        self.encoders = nn.ModuleDict({b.name: self._encoder(b) for b in blocks})
        self.missing = nn.Parameter(torch.zeros(len(blocks), width))
        self.kinds = nn.Parameter(0.02 * torch.randn(len(blocks), width))
        self.summary = nn.Parameter(0.02 * torch.randn(width))
        self.layers = nn.ModuleList(
            Layer(width, config.heads, config.dropout / 3) for _ in range(config.layers)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(LEVELS)))

    def learn_bins(self, rows: NDArray[np.float32]) -> None:
        """Set the borders of the numeric blocks by training rows (n, columns and flags)."""
        at, flags = 0, sum(self.widths)
        for number, (name, width) in enumerate(zip(self.names, self.widths, strict=True)):
            if name in self.bins:
                bins = self.bins[name]
                assert isinstance(bins, Bins)
                bins.learn(rows[rows[:, flags + number] > 0, at : at + width])
            at += width

    def forward(self, rows: Tensor) -> Tensor:
        """rows: (B, columns and then one flag per block)    returns: (B, 7)"""
        columns, flags = torch.split(rows, [sum(self.widths), len(self.widths)], dim=1)
        has = self._hide(flags > 0)
        tokens = []
        parts = torch.split(columns, self.widths, dim=1)
        for number, (name, value) in enumerate(zip(self.names, parts, strict=True)):
            if name in self.bins:
                value = self.bins[name](value)
            token = self.encoders[name](value)
            tokens.append(
                torch.where(has[:, number].unsqueeze(1), token, self.missing[number])
                + self.kinds[number]
            )
        summary = self.summary.expand(len(rows), -1)
        states = torch.stack((summary, *tokens), dim=1)
        for number, layer in enumerate(self.layers, 1):
            is_last = number == len(self.layers)
            states = layer(states, 1 if is_last else states.shape[1])
        return ascending(self.head(states[:, 0]))

    def _encoder(self, block: Block) -> nn.Sequential:
        config = self.config
        wide = block.width * (config.bins if block.name in NUMERIC else 1)
        return nn.Sequential(
            nn.LayerNorm(wide),
            nn.Linear(wide, config.width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, config.width),
        )

    def _hide(self, has: Tensor) -> Tensor:
        if not self.training or self.config.modality_drop == 0:
            return has
        return has & (torch.rand(has.shape) >= self.config.modality_drop)
