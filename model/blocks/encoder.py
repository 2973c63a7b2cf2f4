"""Rows as blocks of numbers: what a post says of itself and its features, fitted on train alone."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Final, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from catalog.facts import PostFacts
from model.base import learned
from model.batches import Example
from model.blocks.history import (
    AUTHOR_COLUMNS,
    TAG_COLUMNS,
    AuthorHistory,
    FoldMeans,
    TagMeans,
    fold_of,
    posted_us,
)
from model.blocks.text import FORM_NAMES, POST_NAMES, TextAxes, caption_form, ngrams, post_numbers
from model.blocks.wide import Floats, Gathered, Scale, WideAxes, wide_feature
from model.errors import BadSetting, NothingToTrain
from model.targets import TargetTransform

WORDS_COLUMNS: Final = 2  # share of speech, and whether that is known


@dataclass(frozen=True)
class Block:
    """One named group of columns."""

    name: str
    width: int


@dataclass(frozen=True)
class Encoded:
    """n rows by block, in the encoder's order of blocks.

    values: (n, width) float32, standardised on the training rows, within ±6; zeros where a row
    has no such block. present: (n,) bool, which rows have it.
    """

    values: Mapping[str, NDArray[np.float32]]
    present: Mapping[str, NDArray[np.bool_]]

    def matrix(self, *, missing: float = 0.0) -> NDArray[np.float32]:
        """All columns beside each other, then one 0/1 column per block: who has it.

        missing: what stands where a row lacks a block (NaN for trees). returns: (n, columns)
        """
        columns = [
            np.where(self.present[name][:, None], value, np.float32(missing))
            for name, value in self.values.items()
        ]
        flags = [flag[:, None].astype(np.float32) for flag in self.present.values()]
        return np.concatenate([*columns, *flags], axis=1, dtype=np.float32)


@dataclass(frozen=True)
class BlockConfig:
    """Settings of the encoder, and after fitting the sizes of what it learned.

    Before fitting the `…_width` are wishes: a block gets at most one column of text, tags or
    features per eight training rows that have it. 0: no such block. Learned sizes (below
    `seed`) are 0 until then. A model's config inherits these fields, so that it stays flat.
    tag_prior, author_prior: rows that the general mean counts for in a tag's or author's mean.
    """

    use_author: bool = False
    use_form: bool = True
    use_meta: bool = True
    use_tags: bool = True
    text_width: int = 32
    tag_width: int = 8
    words_width: int = 32
    visual_width: int = 32
    frames_width: int = 48
    audio_width: int = 32
    text_buckets: int = 2**15
    tag_prior: float = 5.0
    author_prior: float = 3.0
    n_folds: int = 5
    seed: int = learned(0, "is that of the training: give --seed")
    n_tags: int = learned(0)
    n_history: int = learned(0)
    visual_size: int = learned(0)
    frames_size: int = learned(0)
    audio_size: int = learned(0)

    def __post_init__(self) -> None:
        if self.n_folds < 2:
            raise BadSetting(f"n_folds {self.n_folds} must be 2 or more")
        if self.text_buckets < 1 or min(self.tag_prior, self.author_prior) <= 0:
            raise BadSetting(
                f"text_buckets {self.text_buckets}, tag_prior {self.tag_prior} and author_prior "
                f"{self.author_prior} must be above 0"
            )

    def widths(self) -> dict[str, int]:
        """Columns of every possible block, in order; 0: no such block."""
        wide = {name: width if size > 0 else 0 for name, (size, width) in self.wide_sizes().items()}
        return {
            "form": len(FORM_NAMES) if self.use_form else 0,
            "meta": len(POST_NAMES) if self.use_meta else 0,
            "text": self.text_width,
            "words": self.words_width + WORDS_COLUMNS if self.words_width else 0,
            "tags": TAG_COLUMNS + self.tag_width if self.use_tags else 0,
            **wide,
            "author": AUTHOR_COLUMNS if self.n_history else 0,
        }

    def text_widths(self) -> dict[str, int]:
        """Axes of each block that reads text."""
        return {
            "text": self.text_width,
            "words": self.words_width,
            "tags": self.tag_width if self.use_tags else 0,
        }

    def wide_sizes(self) -> dict[str, tuple[int, int]]:
        """(numbers of the feature, axes) of each block that reads a feature."""
        return {
            "visual": (self.visual_size, self.visual_width),
            "frames": (self.frames_size, self.frames_width),
            "audio": (self.audio_size, self.audio_width),
        }


# Rows that the scales of the finished blocks are measured on; more would only cost time.
SCALE_ROWS: Final = 5_000
ROWS_PER_COLUMN: Final = 8
# Columns made of labels have a scale that no label moves: they are in sd of the target already.
LABEL_COLUMNS: Final = {"tags": [0, 1], "author": [0]}
LABEL_SD: Final = 0.5


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

    def _words(self, facts: PostFacts) -> Floats | None:
        if facts.transcript is None:
            return None
        share = np.nan
        if facts.speech_s is not None and facts.duration_s:
            share = min(1.0, facts.speech_s / facts.duration_s)
        return np.append(self._place("words", spoken(facts)), [share, not np.isnan(share)])

    def _tags(self, facts: PostFacts, fold: int | None) -> Floats | None:
        if not facts.hashtags:
            return None
        means = self.tag_means.read(facts.hashtags, self.general.without(fold), fold)
        if not self.config.tag_width:
            return means
        return np.append(means, self._place("tags", tag_grams(facts)))

    def _author(self, facts: PostFacts, fold: int | None) -> Floats | None:
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


def spoken(facts: PostFacts) -> list[str]:
    """Grams of what is said, and the language it is said in."""
    language = [] if facts.language is None else [f"l {facts.language}"]
    return [*ngrams(facts.transcript or ""), *language]


def tag_grams(facts: PostFacts) -> list[str]:
    """Each hashtag as one gram."""
    return [f"t {tag.lower()}" for tag in facts.hashtags]


def written(facts: PostFacts) -> list[str]:
    """Grams of the caption."""
    return ngrams(facts.caption)


GRAMS: Final[dict[str, Callable[[PostFacts], list[str]]]] = {
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


CHUNK: Final = 512
Config = TypeVar("Config", bound=BlockConfig)


@dataclass(frozen=True)
class LabelledRows:
    """x (n, columns) float32, y (n,) on the target's scale, fold (n,)."""

    x: NDArray[np.float32]
    y: Floats
    fold: NDArray[np.int64]


@dataclass(frozen=True)
class Chunk(LabelledRows):
    """A few rows of a stream, and how old each is: (n, 2), to be compared column by column."""

    age: NDArray[np.int64]


def row_chunks(
    encoder: BlockEncoder,
    rows: Iterable[Example],
    target: TargetTransform,
    *,
    training: bool,
    missing: float,
) -> Iterator[Chunk]:
    """The rows as matrices, at most CHUNK at a time."""
    stream = iter(rows)
    while examples := list(islice(stream, CHUNK)):
        views_k = [example.views_k for example in examples]
        if None in views_k:
            raise NothingToTrain("a row to learn from has no view count; each must have one")
        yield Chunk(
            encoder.encode(examples, training=training).matrix(missing=missing),
            target.apply(np.array(views_k, dtype=np.float64)),
            np.array([encoder.fold_of(example) for example in examples], dtype=np.int64),
            np.array([_age(example) for example in examples], dtype=np.int64),
        )


def newest(stream: Iterable[Chunk], limit: int) -> tuple[LabelledRows, int]:
    """The `limit` newest rows of a stream, oldest first, and how many it had in all.

    A row of unknown time is older than any other. At most twice `limit` are held at a time.
    """
    held: list[Chunk] = []
    n_seen = n_waiting = 0
    for chunk in stream:
        held.append(chunk)
        n_seen += len(chunk.y)
        n_waiting += len(chunk.y)
        if n_waiting >= limit:
            held, n_waiting = [_newest(held, limit)], 0
    if not held:
        return LabelledRows(np.zeros((0, 0), np.float32), np.zeros(0), np.zeros(0, np.int64)), 0
    return _newest(held, limit), n_seen


def with_sizes(config: Config, encoder: BlockEncoder) -> Config:
    """A model's config with the sizes that its fitted encoder has."""
    sizes = {f.name: getattr(encoder.config, f.name) for f in fields(BlockConfig)}
    return replace(config, **sizes)


def _newest(held: list[Chunk], limit: int) -> Chunk:
    age = np.concatenate([chunk.age for chunk in held])
    order = np.lexsort((age[:, 1], age[:, 0]))[-limit:]
    return Chunk(
        np.concatenate([chunk.x for chunk in held])[order],
        np.concatenate([chunk.y for chunk in held])[order],
        np.concatenate([chunk.fold for chunk in held])[order],
        age[order],
    )


def _age(example: Example) -> tuple[int, int]:
    posted_at = example.facts.posted_at
    unknown = int(np.iinfo(np.int64).min)
    return unknown if posted_at is None else posted_us(posted_at), example.video_id
