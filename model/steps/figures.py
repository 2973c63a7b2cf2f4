"""Figures of autoencoders: what a training looked like, and two trainings side by side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from catalog.facts import ClipRef, ModelFacts
from catalog.files import atomic_file
from catalog.read.lookup import model_feature_sets
from catalog.read.pending import clip_refs
from catalog.schema.session import Catalog
from catalog.web.pages import render
from features.store import FeatureStore
from features.video.convlstm import ConvLstmAutoencoder
from features.video.visual import load_autoencoder
from features.weights import load_weights
from model.errors import NothingToTrain
from model.figures import Strip, draw_strips, reconstruct, some_frames
from model.steps.rows import location
from model.training.pretraining import Pretrained

PAGE: Final = "figures.html"
N_CLIPS, N_FRAMES = 4, 6
#: After which epochs a picture is kept (paper, Fig. 3).
MILESTONES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

#: A line of a chart: a label, and (epoch, loss) points.
Curve = tuple[str, Sequence[tuple[int, float]]]


def run_folder(data: Path, run_id: int) -> Path:
    """Folder for what a run leaves beside its numbers."""
    return data / "runs" / str(run_id)


@dataclass
class TrainingAlbum:
    """Pictures of one training (paper, Fig. 3 and 4) and its curve, in the run's folder."""

    folder: Path
    read_clip: Callable[[int], NDArray[np.uint8]]
    val: Sequence[int]
    n_epochs: int = 0
    strips: list[Strip] = field(default_factory=list)

    def add_epoch(self, number: int, network: ConvLstmAutoencoder) -> None:
        """Count an epoch of this call, and keep a picture after some."""
        self.n_epochs += 1
        if number in MILESTONES:
            frames = some_frames(reconstruct(network, self.read_clip(self.val[0])), N_FRAMES)
            self.strips.append(Strip(f"epoch {number}", frames))

    def finish(self, found: Pretrained) -> None:
        """Write the pictures and the page that shows them."""
        pictures = []
        for index in self.val[:N_CLIPS]:
            pictures += _pair(found.best, self.read_clip(index))
        draw_strips(self.folder / "reconstructions.png", pictures)
        curves: list[Curve] = [
            ("train", [(report.epoch, report.train_loss) for report in found.curve]),
            ("validation", [(report.epoch, report.loss) for report in found.curve]),
        ]
        best = f"what epoch {found.best_epoch.epoch} makes of them"
        shown = [("reconstructions.png", f"Clips that were not trained on, and {best}.")]
        if self.strips:
            original = Strip("original", some_frames(self.read_clip(self.val[0]), N_FRAMES))
            draw_strips(self.folder / "epochs.png", [original, *self.strips])
            shown.append(("epochs.png", "One clip after several epochs."))
        write_page(self.folder / PAGE, "Autoencoder", ("Loss of each epoch.", curves), shown)


def compare_autoencoders(
    catalog: Catalog, models: Sequence[ModelFacts], *, store: FeatureStore, data: Path
) -> Path:
    """Draw the loss curves and reconstructions of several autoencoders (paper, Fig. 5 and 6).

    The clips are of videos that every model has clips of. Returns the page, which lies in the
    folder of the last model's run. Raises NothingToTrain where no video is common to all.
    """
    clips = [_clips_of(catalog, model) for model in models]
    common = sorted(set.intersection(*(set(found) for found in clips)))[:N_CLIPS]
    if not common:
        raise NothingToTrain("no video has clips for every one of these autoencoders")
    curves: list[Curve] = []
    names = []
    strips: dict[int, list[Strip]] = {video_id: [] for video_id in common}
    for model, found in zip(models, clips, strict=True):
        name = f"{model.name} {model.version}"
        names.append(name)
        epochs = load_weights(data / model.artifact_uri).extra.get("curve", [])
        if epochs:  # imported weights have none
            points = [(epoch["number"], epoch["val_mse"]) for epoch in epochs]
            curves.append((f"{name}, validation", points))
        network = load_autoencoder(data / model.artifact_uri).eval()
        for video_id in common:
            uri, row = location(found[video_id])
            pair = _pair(network, store.read(uri, row)["frames"])
            strips[video_id] += [Strip(f"{name}, {strip.label}", strip.frames) for strip in pair]
    folder = run_folder(data, models[-1].train_run_id)
    versions = "-".join(str(model.version) for model in models)
    picture, page = f"compare-{versions}.png", folder / f"compare-{versions}.html"
    draw_strips(folder / picture, [strip for video_id in common for strip in strips[video_id]])
    drawn = ("Validation loss of each epoch.", curves)
    write_page(page, " and ".join(names), drawn, [(picture, "The same videos in each.")])
    return page


def write_page(
    path: Path, title: str, drawn: tuple[str, Sequence[Curve]], pictures: Sequence[tuple[str, str]]
) -> None:
    """Write a page of one chart, (caption, curves), and of (file beside it, caption) pictures."""
    caption, curves = drawn
    page = render(
        "figures.html", title=title, curves=curves, curves_caption=caption, pictures=pictures
    )
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _clips_of(catalog: Catalog, model: ModelFacts) -> dict[int, ClipRef]:
    with catalog.read() as session:
        clip_set = model_feature_sets(session, model.id)["clip"]
        return {clip.video_id: clip for clip in clip_refs(session, clip_set.id, split_id=None)}


def _pair(network: ConvLstmAutoencoder, clip: NDArray[np.uint8]) -> list[Strip]:
    return [
        Strip("original", some_frames(clip, N_FRAMES)),
        Strip("reconstruction", some_frames(reconstruct(network, clip), N_FRAMES)),
    ]
