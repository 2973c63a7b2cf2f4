"""Settings of the models that are made of members: modern, ridge, boosted, text."""

from dataclasses import dataclass
from typing import Final, Literal

from model.base import NOT_SET, later, learned
from model.blocks.encoder import BlockConfig
from model.errors import BadSetting

#: Who may take part in a forecast, in the order of their weights.
MEMBERS: Final = ("ridge", "trees", "grams", "past")
WEEK_S: Final = 604_800.0
FOUND: Final = "is found in training and cannot be set"


@dataclass(frozen=True)
class ModernConfig(BlockConfig):
    """Settings of the model, and after solving the sizes of what it learned.

    members: who may take part, separated by commas: a ridge over all columns, boosted trees, a
    ridge over hashed words alone, what the author's earlier posts got. newest_rows: of train and
    val, what is learned from, of val at most a third. folds: rows of an author are in one.
    history_drop: share of the rows whose author's past is hidden in training, so that unknown
    authors do not pay for it. block_drop: of the rows that lack any one other block in training.
    media_gain: how many standard errors a feature has to lower the error by to be kept.
    neighbours, store_rows: how many are asked, among how many. trees … l2: of the boosting.
    rehearsal: share of the training rows, the newest, that are forecast by those before them.
    least_stacked: rows of rehearsals below which the members' weights stay those of the preset.
    age: whether labels of unequal age are taken to one age first (`model.modern.growth`): "auto"
    where growth can be told, or "ignore". forecast_age_s: that age, as far as there are labels of
    it.
    Learned (0 until then): n_columns of the ridge, n_trees of n_nodes, n_store rows among which
    neighbours are sought, kept features, has_interval; n_growth ages at which growth is known, and
    horizon_s, the age that forecasts are of where nobody says otherwise.
    """

    members: str = "ridge,trees,grams,past"
    newest_rows: int = 60_000
    folds: int = 5
    history_drop: float = 0.1
    block_drop: float = 0.02
    media_gain: float = 1.5
    gram_buckets: int = 2**18
    neighbours: int = 10
    store_rows: int = 20_000
    trees: int = 600
    leaves: int = 16
    learning_rate: float = 0.025
    min_leaf_rows: int = 20
    tree_columns: float = 0.4
    l2: float = 1.0
    rehearsal: float = 0.4
    least_stacked: int = 30
    kept: str = learned("")
    n_columns: int = learned(0)
    n_trees: int = learned(0)
    n_nodes: int = learned(1)
    n_store: int = learned(0)
    has_interval: bool = learned(False)
    age: Literal["auto", "ignore"] = later("auto")
    forecast_age_s: float = later(WEEK_S)
    n_growth: int = later(0, **{NOT_SET: FOUND})
    horizon_s: int = later(0, **{NOT_SET: FOUND})

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = (self.newest_rows, self.neighbours, self.store_rows, self.trees, self.gram_buckets)
        if min(*sizes, self.min_leaf_rows, self.least_stacked) < 1:
            raise BadSetting(f"every size of the {type(self).__name__} must be 1 or more: {self}")
        if self.age not in ("auto", "ignore") or not self.forecast_age_s >= 1:
            raise BadSetting(
                f"age {self.age!r} must be auto or ignore, forecast_age_s {self.forecast_age_s} "
                "a second or more"
            )
        if self.folds < 2 or self.leaves < 2:
            raise BadSetting(f"folds {self.folds} and leaves {self.leaves} must be 2 or more")
        drops = (self.history_drop, self.block_drop)
        if not (min(drops) >= 0 and max(drops) < 1 and 0 < self.rehearsal < 1):
            raise BadSetting(
                f"history_drop {self.history_drop} and block_drop {self.block_drop} must be in "
                f"[0, 1), rehearsal {self.rehearsal} a share between 0 and 1"
            )
        if not (self.learning_rate > 0 and 0 < self.tree_columns <= 1):
            raise BadSetting(
                f"learning_rate {self.learning_rate} must be above 0, "
                f"tree_columns {self.tree_columns} a share of the columns, at most 1"
            )
        unknown = [name for name in self.member_names if name not in MEMBERS]
        if unknown or not self.member_names:
            raise BadSetting(
                f"members {self.members!r} must name some of {', '.join(MEMBERS)}, with commas"
            )

    @property
    def member_names(self) -> tuple[str, ...]:
        """Names of those who may take part."""
        return tuple(name.strip() for name in self.members.split(",") if name.strip())
