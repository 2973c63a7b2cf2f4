"""Scoring with a trained network, one row at a time."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from features.device import full_precision
from model.base import Network
from model.batches import Example, collate
from model.errors import BadSetting, NotFinite
from model.targets import QuartileEdges, TargetTransform


@dataclass(frozen=True)
class Forecast:
    """What is published for one row.

    views_k: thousands of views, 0 or more. low_k, high_k: the ends of its 80 % interval, None
    where the model states none. quartile: 0 (fewest views) to 3, None where no borders are known.
    """

    views_k: float
    low_k: float | None = None
    high_k: float | None = None
    quartile: int | None = None


class Scorer:
    """Score of one row at a time, so that it cannot depend on the rows beside it.

    Matrix products of another height add up in another order: scored together, the last digits
    of a row move with the size of its batch. A row is already 64 tokens high, and one by one
    costs about a quarter more time on a CPU.
    """

    def __init__(
        self,
        network: Network,
        target: TargetTransform,
        edges: QuartileEdges | None = None,
        medians_k: tuple[float, ...] | None = None,
    ) -> None:
        """edges, medians_k: of the quarters of the training rows; a classifier needs medians_k.

        The network computes on the device that it is on.
        """
        self.network = network.eval()
        self.target = target
        self.edges = edges
        self.medians_k = medians_k
        tensors = network.state_dict().values()
        self.device = next((tensor.device for tensor in tensors), torch.device("cpu"))

    def __call__(self, example: Example) -> Forecast:
        """Forecast of a row.

        Raises IncompatibleFeatures or NotFinite, which concern this row and no other.
        """
        if self.network.training:  # whoever trained it further may have left dropout on
            self.network.eval()
        with torch.inference_mode(), full_precision(self.device):
            said = self.network.outputs(collate([example], self.network.shapes).to(self.device))
        if said.classes is not None:
            return self._chosen(said.classes[0], example)
        assert said.point is not None  # a network that chooses no class states a number
        views_k = self._views_k(said.point, example)
        quartile = None if self.edges is None else int(self.edges.classify(views_k))
        if said.low is None or said.high is None:
            return Forecast(views_k, quartile=quartile)
        ends = self._views_k(said.low, example), self._views_k(said.high, example)
        return Forecast(views_k, *ends, quartile)

    def _chosen(self, scores: Tensor, example: Example) -> Forecast:
        if self.medians_k is None:
            raise BadSetting("a classifier's quarters mean nothing in views without medians_k")
        if not bool(torch.isfinite(scores).all()):
            raise NotFinite(f"class scores of video {example.video_id} are {scores.tolist()}")
        quartile = int(scores.argmax())
        return Forecast(self.medians_k[quartile], quartile=quartile)

    def _views_k(self, scaled: Tensor, example: Example) -> float:
        views_k = float(self.target.score(scaled.double().cpu().numpy())[0])
        if not math.isfinite(views_k):
            raise NotFinite(f"score of video {example.video_id} is {views_k}, not a number")
        return views_k
