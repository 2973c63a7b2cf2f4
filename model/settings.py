"""The settings of models: one frozen class per section, with its one set of defaults.

Nothing heavy is imported here, so that `--help` and `config show` stay quick.
"""

import json
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field
from pydantic.dataclasses import dataclass

from features.settings import STAGE_DEVICE, STRICT
from model.split import SplitConfig

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, config=STRICT)
class PretrainConfig:
    """How the autoencoder is trained. The sizes and rates are the paper's (Table II).

    batch: clips per step, of all processes together. patience: stop after so many epochs without
    a better validation loss; None: never (the paper's way). normalised: pixels of 0..1. depth,
    depth_frames: how clips of different length become one batch, see `features.video.convlstm`.
    precision: of the convolutions, the weights are always fp32; "auto" is bf16 where the device
    computes in it. device: where; changes nothing but rounding.
    """

    hidden: int = Field(default=64, ge=1)
    epochs: int = Field(default=200, ge=1)
    batch: int = Field(default=4, ge=1)
    lr: float = Field(default=1e-4, gt=0)
    patience: int | None = Field(default=20, ge=1)
    seed: int = 0
    normalised: bool = Field(default=False, description="pixels as 0..1; the paper: 0..255")
    depth: Literal["longest", "fixed", "pooled"] = Field(
        default="longest", description="how clips of different length become one batch"
    )
    depth_frames: int = Field(default=16, ge=1, description="of fixed and pooled")
    precision: Precision = Field(
        default="auto", description="auto: bf16 where the machine computes in it"
    )
    device: str = Field(default="", pattern=STAGE_DEVICE, description="empty: `device`")


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """What `train` trains, and where, when no flag says otherwise; the rest is its preset's."""

    preset: str = "modern"
    seed: int = 0
    as_of: Literal["post", "crawl"] = Field(
        default="post",
        description="post: of account and sound what was seen before the post; crawl: or after it",
    )
    device: str = Field(default="", pattern=STAGE_DEVICE, description="empty: `device`")
    precision: Precision = Field(
        default="fp32", description="auto: bf16 where the machine computes in it"
    )
    age: Literal["auto", "ignore"] = Field(
        default="auto",
        description="labels of unequal age are taken to one age where growth can be told",
    )
    forecast_age: str = Field(
        default="7d",
        pattern=r"^[0-9]{1,6}(\.[0-9]+)?[smhdw]$",
        description="that age, such as 36h or 7d; as far as there are labels of it",
    )


@dataclass(frozen=True, config=STRICT)
class RetrainConfig:
    """What `retrain` trains, and what a challenger has to show before it is used.

    holdout: share of the labelled videos, the newest, on which challenger and champion are judged;
    `split.val` and the label of the splits are those of [split]. min_rows: with fewer labelled
    videos nothing is trained.
    """

    preset: str = Field(default="", description="empty: `train.preset`")
    metric: Literal["log_mae", "mae_k", "mse_k2"] = Field(
        default="log_mae", description="the error that has to be smaller"
    )
    holdout: float = Field(
        default=0.15, gt=0, lt=1, description="share of the videos, the newest, that judges"
    )
    min_rows: int = Field(default=200, ge=10, description="labelled videos to begin with")


@dataclass(frozen=True, config=STRICT)
class ScoreConfig:
    """Which model scores, predicts and is explained.

    model: NAME, which is NAME@production or, where there is none, the newest version; else
    NAME:VERSION, NAME:latest or NAME@ALIAS.

    device: of a network; what was solved (modern, ridge, …) computes on the processor.
    """

    model: str = "modern"
    device: str = Field(default="", pattern=STAGE_DEVICE, description="empty: `device`")


JUDGE_OFF: Final = (
    "the judge is off: set judge.url and judge.model, or judge.command, to say who is asked"
)
#: Of the words that a judge is asked with; a calibration holds for one of them.
PROMPT: Final = 1


@dataclass(frozen=True, config=STRICT)
class JudgeSettings:
    """Who is asked for a forecast as the preset `judge`; nobody while url and command are empty.

    url: base of an endpoint that answers POST URL/chat/completions as OpenAI's does; the key is
    read from the environment variable key_env at each start and is never stored. command: a
    program and its arguments instead: the question on its standard input, the answer on its
    output. max_chars: of each text. train_calls: rows that are asked of to learn what an answer
    is worth in views. retries, timeout_s: of each question.
    """

    url: str = Field(default="", description="such as http://localhost:8000/v1")
    model: str = ""
    key_env: str = Field(default="JUDGE_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    command: tuple[str, ...] = ()
    answer: Literal["views", "score"] = "views"
    max_chars: int = Field(default=2000, ge=0)
    max_tokens: int | None = Field(default=300, ge=1)
    temperature: float | None = Field(default=0.0, ge=0)
    timeout_s: float = Field(default=60.0, gt=0)
    retries: int = Field(default=3, ge=0, le=20)
    train_calls: int = Field(default=200, ge=10)

    def __post_init__(self) -> None:
        if self.url and self.command:
            raise ValueError("judge.url and judge.command are both set; there is one judge")
        if self.url and not self.model:
            raise ValueError("judge.url needs judge.model, the name that the endpoint knows it by")
        if self.url:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("judge.url must be such as https://host/v1")
            if parts.username is not None or parts.query or parts.fragment:
                raise ValueError(
                    "judge.url is a plain address: no user, password, query or fragment; the key "
                    "belongs into the environment variable that judge.key_env names"
                )

    @property
    def is_on(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self.url or self.command)

    @property
    def identity(self) -> str:
        """Everything that an answer depends on, as JSON; the key is no part of it."""
        names = ("url", "model", "command", "answer", "max_chars", "max_tokens", "temperature")
        settled = {name: getattr(self, name) for name in names}
        return json.dumps({**settled, "prompt": PROMPT}, sort_keys=True)


SECTIONS: Final[Mapping[str, type]] = {
    "pretrain": PretrainConfig,
    "split": SplitConfig,
    "train": TrainConfig,
    "retrain": RetrainConfig,
    "score": ScoreConfig,
    "judge": JudgeSettings,
}
