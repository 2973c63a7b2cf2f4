"""Forecasts of one part beside the truth, gathered row by row and measured at the end."""

from array import array
from dataclasses import dataclass, field

from model.checkpoint import ModelCard
from model.evaluation.metrics import evaluate


@dataclass
class Judged:
    """What was forecast and what came of it, in thousands; 33 bytes a row."""

    actual: "array[float]" = field(default_factory=lambda: array("d"))
    predicted: "array[float]" = field(default_factory=lambda: array("d"))
    low: "array[float]" = field(default_factory=lambda: array("d"))
    high: "array[float]" = field(default_factory=lambda: array("d"))
    quartile: "array[int]" = field(default_factory=lambda: array("b"))

    def add(
        self,
        actual_k: float,
        predicted_k: float,
        low_k: float | None,
        high_k: float | None,
        quartile: int | None,
    ) -> None:
        """Count a row in; what is None for one row is not measured for any."""
        self.actual.append(actual_k)
        self.predicted.append(predicted_k)
        if low_k is not None and high_k is not None:
            self.low.append(low_k)
            self.high.append(high_k)
        if quartile is not None:
            self.quartile.append(quartile)

    def metrics(self, card: ModelCard) -> dict[str, float]:
        """Measure the rows beside the constants of the model's training; nothing for no row."""
        n = len(self.actual)
        if not n:
            return {}
        has_interval = len(self.low) == n
        return evaluate(
            self.actual,
            self.predicted,
            constants=card.constants,
            edges=card.edges,
            low_k=self.low if has_interval else None,
            high_k=self.high if has_interval else None,
            predicted_quartile=self.quartile if len(self.quartile) == n else None,
        )
