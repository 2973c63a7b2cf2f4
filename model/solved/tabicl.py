"""A pretrained table network, TabICL, as a head: it reads training rows beside each row it scores.

Nothing of it is trained here. The network's own weights, the rows it reads and their labels are
all in the model's file; only the code of the network is of the package `tabicl`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from features.errors import WeightsMismatch
from features.weights import load_foreign_network, load_weights, weights_sha256
from model.base import NOT_SET, Network, Outputs, SolveRequest, learned
from model.batches import Batch, InputShapes
from model.blocks.encoder import BlockConfig, BlockEncoder, with_sizes
from model.errors import BadSetting, NothingToTrain
from model.modern.config import ModernConfig
from model.modern.table import build_table
from model.quantiles import COVERAGE, calibrate
from model.training.world import one_thread

KIND: Final = "tabicl"
FEWEST_ROWS: Final = 10  # to read beside a row; of fewer no table network can tell anything
ASKED_AT_ONCE: Final = 64
#: As it is computed here: in float32, on the processor, nothing put aside on a disk.
PLAIN: Final = {"device": "cpu", "use_amp": False, "use_fa3": False, "offload": False}
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class TabiclConfig(BlockConfig):
    """Settings of the columns, and of the head.

    weights, weights_sha256: the file it was given. context_rows: of train and val, the newest,
    are read beside each row that is scored. Learned: network, the settings that the weights are
    for, as JSON; n_context rows of n_columns that ever move; has_interval.
    """

    weights: str = ""
    weights_sha256: str = ""
    context_rows: int = 1_000
    network: str = learned("")
    n_context: int = learned(0)
    n_columns: int = learned(0)
    has_interval: bool = learned(False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.context_rows < FEWEST_ROWS:
            raise BadSetting(f"context_rows {self.context_rows} must be {FEWEST_ROWS} or more")


class Tabicl(Network):
    """Columns of a post beside those of earlier posts, read by a pretrained network.

    columns (n_columns,): which of the encoder's move; x (n_context, n_columns), y (n_context,):
    what is read beside each row, y of mean 0 and sd 1; y_scale (2,): its mean and sd on the
    target's scale. offsets (2,): taken from the interval's lower end, added to its upper one.
    """

    config: TabiclConfig
    columns: Tensor
    x: Tensor
    y: Tensor
    y_scale: Tensor
    offsets: Tensor

    def __init__(self, config: TabiclConfig) -> None:
        super().__init__()
        self.config = config
        self.shapes = InputShapes()
        self.encoder = BlockEncoder(config)
        self.head = _head(config.network) if config.network else nn.Module()
        self.register_buffer("columns", torch.zeros(config.n_columns, dtype=torch.int64))
        self.register_buffer("x", torch.zeros(config.n_context, config.n_columns))
        self.register_buffer("y", torch.zeros(config.n_context))
        self.register_buffer("y_scale", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("offsets", torch.zeros(2, dtype=torch.float64))
        self._has_read = False

    def forward(self, batch: Batch) -> Tensor:
        """Median of each row on the target's scale, (B,) float64."""
        return torch.from_numpy(self._read(batch)[:, 1].copy())

    def outputs(self, batch: Batch) -> Outputs:
        """Median of each row and, where enough rows calibrated it, the 80 % interval."""
        low, point, high = torch.from_numpy(self._read(batch)).unbind(1)
        if not self.config.has_interval:
            return Outputs(point=point)
        return Outputs(point=point, low=low, high=high)

    def _read(self, batch: Batch) -> Floats:
        rows = self.encoder.encode(batch.examples).matrix()
        # One row at a time: products of another height add up in another order.
        found = np.concatenate([self.ask(rows[at : at + 1]) for at in range(len(rows))])
        low, high = self.offsets.tolist()
        ends = (found[:, 0] - low, found[:, 1], found[:, 2] + high)
        return np.stack((np.minimum(*ends[:2]), ends[1], np.maximum(*ends[1:])), axis=1)

    def ask(self, rows: Floats32) -> Floats:
        """Its 10, 50 and 90 % quantiles of rows of all columns, on the target's scale; (n, 3)"""
        head: Any = self.head
        with torch.inference_mode():
            if not self._has_read:
                _forward(head, X_train=self.x[None], y_train=self.y[None], store_cache=True)
                self._has_read = True
            asked = torch.from_numpy(rows)[:, self.columns]
            raw = _forward(head, X_test=asked[None], use_cache=True, store_cache=False)
            levels = torch.tensor((0.1, 0.5, 0.9))
            said = head.quantile_dist(raw).icdf(alpha=levels)[0].double().numpy()
        mean, sd = self.y_scale.tolist()
        return np.asarray(said * sd + mean, dtype=np.float64)

    def read_beside(self, x: Floats32, labels: Floats) -> None:
        """Take these rows, of `columns` alone, to be read beside each row from now on."""
        mean, sd = float(labels.mean()), float(labels.std()) or 1.0
        self.x = torch.from_numpy(np.ascontiguousarray(x))
        self.y = torch.from_numpy(((labels - mean) / sd).astype(np.float32))
        self.y_scale.copy_(torch.tensor([mean, sd], dtype=torch.float64))
        self._has_read = False

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: ARG002
        return self  # captions and tables are on the CPU


def _forward(head: Any, **asked: Any) -> Any:
    from tabicl import InferenceConfig  # noqa: PLC0415 (of the extra, and absent without it)

    config = InferenceConfig()
    parts = ("COL_CONFIG", "ROW_CONFIG", "ICL_CONFIG")
    config.update_from_dict({name: dict(PLAIN) for name in parts})
    return head.forward_with_cache(**asked, inference_config=config)


def _head(settings: str) -> nn.Module:
    """The network of these settings, its numbers not yet read. Raises BadSetting."""
    try:
        # Its own classifier and regressor would fetch weights and unpickle them; this is what
        # they are made around.
        from tabicl._model.tabicl import TabICL  # noqa: PLC0415 (of the extra)
    except ImportError as error:
        raise BadSetting("the head tabicl needs its package: install viewcast[tabicl]") from error
    # One of its tensors is in no file: on the meta device it would be left without numbers.
    with torch.device("cpu"):
        made: nn.Module = TabICL(**json.loads(settings))
    return made.eval()


def _loaded(config: TabiclConfig) -> tuple[str, nn.Module]:
    """The head of the weights file, and its settings. Raises WeightsMissing, WeightsMismatch."""
    path = Path(config.weights)
    if not config.weights:
        raise BadSetting("the head tabicl needs weights: give --weights FILE")
    if config.weights_sha256 and weights_sha256(path) != config.weights_sha256:
        raise WeightsMismatch(f"{path} has changed since its training was asked for")
    tensors: Any
    try:
        held = load_weights(path, KIND)
        tensors, settings = held.tensors, dict(held.config)
    except WeightsMismatch:  # not written by viewcast: as it was published, then
        tensors, settings = load_foreign_network(path)
    # 0 classes: it tells quantiles of a number.
    if not settings or settings.get("max_classes") != 0:
        raise WeightsMismatch(f"{path} holds no TabICL network that forecasts a number")
    try:
        document = json.dumps(settings, sort_keys=True)
        head = _head(document)
        head.load_state_dict(tensors, strict=True)
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["settings that contradict each other"])[0]
        raise WeightsMismatch(f"{path} does not fit TabICL's network: {reason}") from error
    return document, head


@one_thread()
def solve_tabicl(config: TabiclConfig, request: SolveRequest) -> Tabicl:
    """Fit the columns, read the newest rows, calibrate the interval on val by those of train.

    Raises NothingToTrain for too few rows, BadSetting without weights or the package.
    """
    settings, head = _loaded(config)
    table = build_table(
        request, ModernConfig(**block_settings(config), newest_rows=config.context_rows)
    )
    x, labels, is_val = table.x, table.labels, table.is_val
    if len(labels) < FEWEST_ROWS:
        raise NothingToTrain(f"{len(labels)} rows; the head tabicl reads {FEWEST_ROWS} or more")
    columns = np.flatnonzero(np.ptp(x, axis=0) > 0)
    network = Tabicl(
        replace(
            with_sizes(config, table.encoder),
            network=settings,
            n_context=len(labels),
            n_columns=len(columns),
        )
    )
    network.head, network.encoder = head, table.encoder
    network.columns.copy_(torch.from_numpy(columns))
    if is_val.any() and (~is_val).sum() >= FEWEST_ROWS:
        request.progress("forecasting the validation rows")
        network.read_beside(x[~is_val][:, columns], labels[~is_val])
        late = x[is_val]
        pages = range(0, len(late), ASKED_AT_ONCE)
        said = np.concatenate([network.ask(late[at : at + ASKED_AT_ONCE]) for at in pages])
        request.foresaw(table.video_ids[is_val].tolist(), said[:, 1].tolist())
        moved = calibrate(said[:, 0], said[:, 2], labels[is_val], coverage=COVERAGE)
        if moved is not None:
            network.offsets.copy_(torch.tensor([moved.low, moved.high], dtype=torch.float64))
            network.config = replace(network.config, has_interval=True)
    network.read_beside(x[:, columns], labels)
    request.note(
        "tabicl",
        {
            "rows": len(labels),
            "columns": len(columns),
            "parameters": sum(one.numel() for one in head.parameters()),
            "has_interval": network.config.has_interval,
        },
    )
    return network.eval()


def block_settings(config: BlockConfig) -> dict[str, Any]:
    """The settings of the columns that a preset of members or of a head has."""
    free = [one.name for one in fields(BlockConfig) if NOT_SET not in one.metadata]
    return {name: getattr(config, name) for name in free}
