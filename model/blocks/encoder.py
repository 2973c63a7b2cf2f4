"""Rows as blocks of numbers: what a post says of itself and its features, fitted on train alone."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, Self, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from model.batches import Example
from model.blocks.config import Block, BlockConfig, Encoded
from model.blocks.form import caption_form, post_numbers
from model.blocks.gather import Gathered
from model.blocks.history import AuthorHistory, FoldMeans, TagMeans, fold_of
from model.blocks.parts import Floats, Scale, WideAxes, wide_feature
from model.blocks.text import TextAxes, ngrams
from model.errors import NothingToTrain
from model.facts import Facts
from model.targets import TargetTransform

# Rows that the scales of the finished blocks are measured on; more would only cost time.
SCALE_ROWS: Final = 5_000
ROWS_PER_COLUMN: Final = 8
# Columns made of labels have a scale that no label moves: they are in sd of the target already.
LABEL_COLUMNS: Final = {"tags": [0, 1], "author": [0]}
LABEL_SD: Final = 0.5

__all__ = ["Block", "BlockConfig", "BlockEncoder", "Encoded"]


class BlockEncoder(nn.Module):
    """Examples in, blocks of numbers out; fitted by `fit`, all it learned is in its buffers.

    Its tensors stay on the CPU, where captions are, whatever device the network around it moves
    to. Same row, same numbers, alone or among others.
    """

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.config = config
        widths = {name: width for name, width in config.widths().items() if width > 0}
        self.blocks = tuple(Block(name, width) for name, width in widths.items())
        self.scales = nn.ModuleDict({name: Scale(width) for name, width in widths.items()})
        self.texts = nn.ModuleDict(
            {
                name: TextAxes(config.text_buckets, width)
                for name, width in config.text_widths().items()
                if width > 0
            }
        )
        self.wide = nn.ModuleDict(
            {
                name: WideAxes(size, width)
                for name, (size, width) in config.wide_sizes().items()
                if size > 0 and width > 0
            }
        )
        self.general = FoldMeans(config.n_folds)
        self.tag_means = TagMeans(config.n_tags, config.n_folds, config.tag_prior)
        self.authors = AuthorHistory(config.n_history, config.author_prior)

    @classmethod
    def fit(
        cls,
        rows: Iterable[Example],
        *,
        target: TargetTransform,
        seed: int,
        use_author: bool = False,
        settings: BlockConfig | None = None,
    ) -> "BlockEncoder":
        """Learn from the training rows, read once; each must have views_k.

        Memory is bounded: a sample of rows, sums per tag, and 24 bytes per row of history where
        authors are used. Raises NothingToTrain without rows, views, or anything said of a row.
        """
        asked = replace(settings or BlockConfig(), seed=seed, use_author=use_author)
        gathered = Gathered(n_folds=asked.n_folds, seed=seed, use_author=use_author)
        for example in rows:
            if example.views_k is None:
                raise NothingToTrain(f"training video {example.video_id} has no view count")
            gathered.add(example, label(example.views_k, target))
        return _fitted(asked, gathered)

    def encode(self, examples: Sequence[Example], *, training: bool = False) -> Encoded:
        """The rows' blocks. Raises IncompatibleFeatures, NotFinite naming the video.

        training: the rows are those it was fitted on, so what comes from labels leaves out the
        row's own fold. An author's history counts only videos posted strictly before, always.
        """
        folds = [self.fold_of(example) if training else None for example in examples]
        values: dict[str, NDArray[np.float32]] = {}
        present: dict[str, NDArray[np.bool_]] = {}
        for block in self.blocks:
            raw = np.zeros((len(examples), block.width))
            has = np.zeros(len(examples), dtype=np.bool_)
            for row, (example, fold) in enumerate(zip(examples, folds, strict=True)):
                columns = self._raw(block.name, example, fold)
                if columns is not None:
                    raw[row], has[row] = columns, True
            scaled = cast(Scale, self.scales[block.name]).read(raw)
            values[block.name] = np.where(has[:, None], scaled, 0.0).astype(np.float32)
            present[block.name] = has
        return Encoded(values, present)

    def fold_of(self, example: Example) -> int:
        """Fold of a training row: all videos of an author share one."""
        return fold_of(example, seed=self.config.seed, n_folds=self.config.n_folds)

    def _raw(self, block: str, example: Example, fold: int | None) -> Floats | None:
        """Columns of a row before scaling, NaN where one is unknown; None: it has no such block."""
        facts = example.facts
        match block:
            case "form":
                return caption_form(facts)
            case "meta":
                return post_numbers(facts)
            case "text":
                return self._place(block, ngrams(facts.caption)) if facts.caption else None
            case "words":
                return self._words(facts)
            case "tags":
                return self._tags(facts, fold)
            case "author":
                return self._author(facts, fold)
            case _:
                size, _ = self.config.wide_sizes()[block]
                value = wide_feature(block, example, size)
                return None if value is None else cast(WideAxes, self.wide[block]).read(value)

    def _place(self, block: str, grams: list[str]) -> Floats:
        return cast(TextAxes, self.texts[block]).read(grams)

    def _words(self, facts: Facts) -> Floats | None:
        if facts.transcript is None:
            return None
        share = np.nan
        if facts.speech_s is not None and facts.duration_s:
            share = min(1.0, facts.speech_s / facts.duration_s)
        return np.append(self._place("words", spoken(facts)), [share, not np.isnan(share)])

    def _tags(self, facts: Facts, fold: int | None) -> Floats | None:
        if not facts.hashtags:
            return None
        means = self.tag_means.read(facts.hashtags, self.general.without(fold), fold)
        if not self.config.tag_width:
            return means
        return np.append(means, self._place("tags", tag_grams(facts)))

    def _author(self, facts: Facts, fold: int | None) -> Floats | None:
        if facts.author is None or facts.posted_at is None:
            return None
        return self.authors.read(facts.author, facts.posted_at, self.general.without(fold))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: ARG002
        return self  # what moves or casts the network leaves the tables as they are


def label(views_k: float, target: TargetTransform) -> float:
    """A row's label as hashtags and authors remember it: on the target's scale, which has sd 1.

    A raw target has none, and its few huge counts would be all that a mean says: logs instead.
    """
    return math.log1p(views_k) if target.kind == "raw" else float(target.apply(views_k))


def spoken(facts: Facts) -> list[str]:
    """Grams of what is said, and the language it is said in."""
    language = [] if facts.language is None else [f"l {facts.language}"]
    return [*ngrams(facts.transcript or ""), *language]


def tag_grams(facts: Facts) -> list[str]:
    """Each hashtag as one gram."""
    return [f"t {tag.lower()}" for tag in facts.hashtags]


def written(facts: Facts) -> list[str]:
    """Grams of the caption."""
    return ngrams(facts.caption)


GRAMS: Final[dict[str, Callable[[Facts], list[str]]]] = {
    "text": written,
    "words": spoken,
    "tags": tag_grams,
}


def _fitted(asked: BlockConfig, gathered: Gathered) -> BlockEncoder:
    """The encoder of what was gathered; NothingToTrain where no row says anything of itself."""
    sample = gathered.sample.items
    facts = [sampled.example.facts for sampled in sample]
    texts = {
        "text": [one for one in facts if one.caption],
        "words": [one for one in facts if one.transcript],
        "tags": [one for one in facts if one.hashtags],
    }
    axes = {name: _columns(asked.text_widths()[name], len(rows)) for name, rows in texts.items()}
    sizes = {name: kept.items[0].size for name, kept in gathered.wide.items()}
    wide = {
        name: min(sizes[name], _columns(asked.wide_sizes()[name][1], len(kept.items)))
        for name, kept in gathered.wide.items()
    }
    tag_means = gathered.tags.finish(asked.tag_prior)
    authors = None if gathered.authors is None else gathered.authors.finish(asked.author_prior)
    config = replace(
        asked,
        use_form=asked.use_form and any(caption_form(s.example.facts) is not None for s in sample),
        use_meta=asked.use_meta and any(post_numbers(s.example.facts) is not None for s in sample),
        use_tags=asked.use_tags and bool(texts["tags"]),
        text_width=axes["text"],
        words_width=axes["words"],
        tag_width=axes["tags"],
        visual_width=wide.get("visual", 0),
        frames_width=wide.get("frames", 0),
        audio_width=wide.get("audio", 0),
        n_tags=len(tag_means.bucket),
        n_history=0 if authors is None else len(authors.author),
        visual_size=sizes.get("visual", 0),
        frames_size=sizes.get("frames", 0),
        audio_size=sizes.get("audio", 0),
    )
    encoder = BlockEncoder(config)
    if not encoder.blocks:
        raise NothingToTrain(
            f"none of {gathered.n_rows} training rows has a caption, hashtags, a time, a size or "
            "a feature; a model of the post needs at least one of them"
        )
    encoder.general, encoder.tag_means = gathered.labels.finish(), tag_means
    if authors is not None:
        encoder.authors = authors
    for name in encoder.texts:
        # Grams of one text at a time: those of 20,000 transcripts would take a gigabyte.
        grams = map(GRAMS[name], texts[name])
        encoder.texts[name] = TextAxes.fit(
            grams, buckets=config.text_buckets, width=axes[name], seed=config.seed
        )
    for name in encoder.wide:
        kept = np.stack(gathered.wide[name].items)
        encoder.wide[name] = WideAxes.fit(kept, width=wide[name], seed=config.seed)
    _fit_scales(encoder, gathered)
    return encoder


def _fit_scales(encoder: BlockEncoder, gathered: Gathered) -> None:
    for name, scale in encoder.scales.items():
        if name in encoder.wide:
            axes = cast(WideAxes, encoder.wide[name])
            raw = [axes.read(value) for value in gathered.wide[name].items[:SCALE_ROWS]]
        else:
            rows = gathered.sample.items[:SCALE_ROWS]
            read = [encoder._raw(name, sampled.example, sampled.fold) for sampled in rows]
            raw = [value for value in read if value is not None]
        fitted = cast(Scale, scale)
        if raw:
            fitted.fit(np.stack(raw))
        fitted.mean[LABEL_COLUMNS.get(name, [])] = 0.0
        fitted.sd[LABEL_COLUMNS.get(name, [])] = LABEL_SD


def _columns(wish: int, n_rows: int) -> int:
    """Axes that n rows can carry, at most `wish`."""
    return min(wish, max(1, n_rows // ROWS_PER_COLUMN)) if n_rows >= 2 else 0
