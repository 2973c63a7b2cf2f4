"""What can go wrong between features and a score.

ModelError
├── BadSetting              a setting that no network or split can have (exit 2)
├── UnknownKind             no such model kind or preset (exit 2)
├── NothingToTrain          no row with a readable view count to learn from
├── NotFinite               a loss, an input or a score is not a number (row code ``not_finite``)
│   └── JudgeFailed         a judge gave no number for a row (row code ``judge_failed``)
├── JudgeUnreachable        whoever is to be asked cannot be, now or at all
├── IncompatibleFeatures    inputs are not those the weights were trained on
│                           (exit 3, row code ``incompatible_features``)
└── BadCheckpoint           a file that is no model of ours (exit 3)
"""

from typing import ClassVar

from catalog.errors import PrintableError


class ModelError(PrintableError):
    """Base of everything this package raises on purpose."""

    exit_code: ClassVar[int] = 1


class BadSetting(ModelError):
    """A setting that no network or split can have."""

    exit_code: ClassVar[int] = 2


class UnknownKind(ModelError):
    """No such model kind or preset; the message lists those that exist."""

    exit_code: ClassVar[int] = 2


class NothingToTrain(ModelError):
    """No row to learn from."""


class NotFinite(ModelError):
    """A loss, an input or a score is not a finite number."""

    code: ClassVar[str] = "not_finite"
    permanent: ClassVar[bool] = True


class JudgeFailed(NotFinite):
    """The judge's answer for a row is no number, or there is none; other rows may do."""

    code: ClassVar[str] = "judge_failed"


class JudgeUnreachable(ModelError):
    """The judge's endpoint or command cannot be asked at all: no row would have an answer."""


class IncompatibleFeatures(ModelError):
    """Inputs are not those the weights were trained on."""

    exit_code: ClassVar[int] = 3
    code: ClassVar[str] = "incompatible_features"
    permanent: ClassVar[bool] = True


class BadCheckpoint(ModelError):
    """A file that holds no model of ours, or one that contradicts itself."""

    exit_code: ClassVar[int] = 3
