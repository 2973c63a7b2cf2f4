"""What a retraining promotes: of shuffled counts nothing, of planted ones the better version.

Each collection is invented (bench.shuffled) and stored in a catalog of its own, a tenth of it more
each week; each retraining is the real one. With shuffled counts nothing can be learned: the first
challenger has to beat the constants, and whatever comes of it is then promoted by hand, so that
each later one has a champion that is as good as itself. With the true counts a worse champion has
to go, and a worse challenger must not come. `python -m bench.retrain [--n N] [--state FILE]` goes
on where FILE ends.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench.measure import Row
from bench.shuffled import COLLECTIONS, collection, shuffled
from catalog.console import Silent
from catalog.errors import NotFound
from catalog.facts import FeatureSetFacts, ModelFacts, ObservationFacts, VideoFacts
from catalog.read.lookup import find_model, newest_model
from catalog.read.model_history import model_history, versions_before
from catalog.record.lineage import PRODUCTION, set_alias
from catalog.record.sightings import store_sightings
from catalog.schema.session import Catalog, open_catalog, upgrade
from catalog.verdict import LEAST_GAIN
from features.store import FeatureStore
from model.batches import Example
from model.split import SplitConfig
from model.steps.retrain import RetrainRequest, retrain
from model.steps.train import TrainRequest

N_TRIES: Final = 20
N_FIRST, N_WEEKLY, N_WEEKS = 600, 100, 3  # posts of the first retraining and of each week after it
NAME: Final = "house"
PRESETS: Final = ("ridge", "author_recent")
BLIND: Final = {"history": "none", "tags_width": 0, "text_width": 0}


@dataclass
class House:
    """A catalog of its own, and one model."""

    catalog: Catalog
    data: Path

    def add(self, rows: Sequence[Example]) -> None:
        """Store posts, each with its count as it was seen two days later."""
        with self.catalog.write() as session:
            store_sightings(session, map(_sighting, rows), run_id=None, found_by=None)

    def retrain(self, preset: str, **training: object) -> bool:
        """Whether a challenger of that preset is promoted."""
        request = RetrainRequest(
            replace(TrainRequest(preset, name=NAME), **training),
            SplitConfig(holdout=0.25),
            metric="log_mae",
            min_rows=200,
            least_gain=LEAST_GAIN,
            set_by="bench",
        )
        _outcome, verdict = retrain(
            self.catalog,
            request,
            _no_feature,
            store=FeatureStore(str(self.data / "features")),
            data=self.data,
            progress=Silent(),
        )
        assert verdict is not None  # each of them has new data, or another preset
        return verdict.is_promoted

    def newest(self, alias: str | None = None) -> ModelFacts:
        """The newest version, or what an alias means."""
        with self.catalog.read() as session:
            model = newest_model(session, NAME, alias=alias)
        assert model is not None
        return model

    def promote(self, model: ModelFacts, *, back: bool = False) -> None:
        """Let production mean it, by hand."""
        action = "rolled back" if back else "promoted"
        with self.catalog.write() as session:
            set_alias(session, NAME, PRODUCTION, model.id, set_by="bench", reason="", action=action)


@contextmanager
def _house() -> Iterator[House]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/catalog.db"
        upgrade(url)
        catalog = open_catalog(url)
        try:
            yield House(catalog, Path(folder))
        finally:
            catalog.close()


def _sighting(row: Example) -> tuple[VideoFacts, ObservationFacts]:
    facts = row.facts
    assert facts.posted_at is not None
    assert row.views_k is not None
    video = VideoFacts(
        tiktok_id=f"invented-{row.video_id}",
        url=f"https://example.org/{row.video_id}",
        caption=facts.caption,
        author_key=None if facts.author is None else f"author-{facts.author}",
        posted_at=facts.posted_at,
        duration_s=facts.duration_s,
        width_px=None,
        height_px=None,
        hashtags=facts.hashtags,
    )
    seen_at = facts.posted_at + timedelta(days=2)
    shown = str(round(1000 * row.views_k))
    return video, ObservationFacts(seen_at, shown, row.views_k, 0.0, "import")


def _no_feature(kind: str) -> FeatureSetFacts:
    raise NotFound(f"no {kind}")


def of_luck(preset: str, collected: str, seed: int) -> dict[str, int]:
    """Retrain on counts that belong to other posts: how many are promoted, of how many."""
    rows = shuffled(collection(COLLECTIONS[collected], seed), seed)
    found: Counter[str] = Counter()
    with _house() as house:
        house.add(rows[:N_FIRST])
        found["first"] = house.retrain(preset)
        house.promote(house.newest())
        for week in range(N_WEEKS):
            begin = N_FIRST + week * N_WEEKLY
            house.add(rows[begin : begin + N_WEEKLY])
            found["weekly"] += house.retrain(preset)
            house.promote(house.newest())
    return dict(found)


def of_skill(preset: str, collected: str, seed: int) -> dict[str, int]:
    """Retrain on true counts: what is promoted of better and of worse challengers; a rollback."""
    rows = collection(COLLECTIONS[collected], seed)
    with _house() as house:
        house.add(rows[:N_FIRST])
        house.retrain("ridge", network=BLIND)
        house.promote(house.newest())
        found = {"better": int(house.retrain(preset))}
        house.promote(house.newest())
        house.add(rows[N_FIRST : N_FIRST + N_WEEKLY])
        found["fewer inputs"] = int(house.retrain("ridge", network=BLIND))
        found["another regime"] = int(house.retrain(preset, shuffle_labels=True))
        before = _before(house)
        house.promote(before, back=True)
        found["rolled back"] = int(house.newest(PRODUCTION).id == before.id)
    return found


def _before(house: House) -> ModelFacts:
    with house.catalog.read() as session:
        version = versions_before(model_history(session, NAME))[-1]
        return find_model(session, name=NAME, version=version)


PARTS: Final[Mapping[str, Callable[[str, str, int], dict[str, int]]]] = {
    "shuffled": of_luck,
    "true": of_skill,
}


def measure(presets: Sequence[str], n: int, state: Path | None) -> list[Row]:
    """Do what is not in the state yet, and tell how many were promoted."""
    known: dict[str, dict[str, int]] = {}
    if state is not None and state.is_file():
        known = dict(map(json.loads, state.read_text("utf-8").splitlines()))
    found: list[Row] = []
    names = list(COLLECTIONS)
    for preset in presets:
        total: Counter[str] = Counter()
        tried: Counter[str] = Counter()
        for part, try_ in PARTS.items():
            for seed in range(n if part == "shuffled" else n // 2):
                collected = names[seed % len(names)]
                if part == "true" and not COLLECTIONS[collected].n_authors:
                    continue  # without words and authors nothing is left that could be known
                name = f"{preset} | {part} | {collected} | {seed}"
                if name not in known:
                    known[name] = try_(preset, collected, seed)
                    if state is not None:
                        with state.open("a", encoding="utf-8") as out:
                            out.write(json.dumps([name, known[name]]) + "\n")
                for what, promoted in known[name].items():
                    total[what] += promoted
                    tried[what] += N_WEEKS if what == "weekly" else 1
        found += [
            Row(f"`{preset}`: {what}", f"{total[what]} of {tried[what]}", "", "") for what in tried
        ]
    return found


def rows() -> list[Row]:
    """As often as the table says."""
    return measure(PRESETS, N_TRIES, None)


def main(arguments: Sequence[str]) -> int:
    """Print the lines of the table for these presets."""
    parser = argparse.ArgumentParser(prog="python -m bench.retrain")
    parser.add_argument("presets", nargs="*", default=PRESETS)
    parser.add_argument("--n", type=int, default=N_TRIES)
    parser.add_argument("--state", type=Path)
    asked = parser.parse_args(arguments)
    for row in measure(asked.presets, asked.n, asked.state):
        sys.stdout.write(f"| {row.what} | {row.ours} | {row.other} | {row.ratio} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
