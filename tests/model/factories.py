"""Small networks and rows that every test of this package starts from."""

from collections.abc import Iterable

import torch

from model.base import Network
from model.batches import Batch, Example, InputShapes, collate
from model.networks.cnn3d import Cnn3dConfig
from model.networks.fused import FusedConfig, FusedRegressor
from model.networks.swin3d import Swin3dConfig
from model.scoring import Scorer
from model.targets import TargetTransform

SHAPES = InputShapes(visual=(8, 4, 4), audio=(3, 8))
TINY = FusedConfig(
    height_px=4,
    width_px=4,
    channels=8,
    audio_states=3,
    audio_width=8,
    branch_width=16,
    missing="token",
    modality_drop=0.1,
    standardise=True,
    norm_first=True,
)
TINY_PAPER = FusedConfig(
    height_px=4, width_px=4, channels=8, audio_states=3, audio_width=8, branch_width=16
)

CLIP_SHAPES = InputShapes(clip=(3, 6, 20, 12))
TINY_CNN3D = Cnn3dConfig(height_px=20, width_px=12, depth=6, channels=4, reduce=4)
TINY_SWIN3D = Swin3dConfig(
    height_px=20,
    width_px=12,
    depth=6,
    patch_depth=2,
    window_px=3,
    embed=8,
    depths=(1, 2),
    heads=(2, 4),
)


def examples(n: int = 8, *, seed: int = 0) -> list[Example]:
    """Rows whose views follow from what they hold; every fourth has no audio."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for video_id in range(1, n + 1):
        visual = torch.randn(8, 4, 4, generator=generator) + video_id / n
        audio = torch.randn(3, 8, generator=generator)
        rows.append(
            Example(
                video_id,
                visual.half(),
                None if video_id % 4 == 0 else audio,
                views_k=float(10.0 * 3.0 ** float(visual.mean())),
            )
        )
    return rows


def watched_examples(n: int = 8, *, seed: int = 0) -> list[Example]:
    """Rows with a clip alone, whose views follow from how bright it is and becomes."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for video_id in range(1, n + 1):
        clip = torch.randint(0, 64, (3, 6, 20, 12), generator=generator)
        clip[:, video_id % 6] += 20 * video_id  # each row is bright at another time
        views_k = 10.0 * 3.0 ** (video_id / n)
        rows.append(Example(video_id, views_k=views_k, clip=clip.to(torch.uint8)))
    return rows


def scored_k(
    network: Network, rows: Iterable[Example], target: TargetTransform
) -> dict[int, float]:
    """What a trained network forecasts for each row, in thousands of views, by video."""
    scorer = Scorer(network, target)
    return {row.video_id: scorer(row).views_k for row in rows}


def network(config: FusedConfig = TINY, *, seed: int = 0) -> FusedRegressor:
    """A fused network with weights of a seed, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FusedRegressor(config).eval()


def batch_of(rows: list[Example]) -> Batch:
    """One batch of the rows for the tiny networks."""
    return collate(rows, SHAPES)
