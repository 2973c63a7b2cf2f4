"""Rows as blocks of numbers: what a post says of itself, its features, what came before it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from catalog.facts import AsOf, PostFacts
from model.base import learned
from model.batches import Example
from model.blocks.known import KNOWN
from model.blocks.past import BLOCKS as PAST
from model.blocks.past import COLUMNS as PAST_COLUMNS
from model.blocks.past import place_of
from model.blocks.text import FORM_NAMES, POST_NAMES, TextAxes, caption_form, ngrams, post_numbers
from model.blocks.wide import NUMBERS, Floats, Gathered, Scale, WideAxes, wide_feature
from model.errors import BadSetting, IncompatibleFeatures, NothingToTrain

WORDS_COLUMNS: Final = 2  # share of speech, and whether that is known
AS_OF: Final = ("post", "crawl")
HISTORY: Final = ("auto", "observed", "posted", "none")
#: Blocks that have to earn their place by what they add to all the others.
MEDIA: Final = ("visual", "frames", "audio", "opening", "screen", "sentence")


@dataclass(frozen=True)
class Block:
    """One named group of columns."""

    name: str
    width: int


@dataclass(frozen=True)
class Encoded:
    """n rows by block, in the order of the blocks.

    values: (n, width) float32, standardised on the training rows, within ±6; zeros where a row
    has no such block. present: (n,) bool, which rows have it.
    """

    values: Mapping[str, NDArray[np.float32]]
    present: Mapping[str, NDArray[np.bool_]]

    def only(self, names: Iterable[str]) -> "Encoded":
        """The same rows with these blocks alone."""
        kept = list(names)
        return Encoded(
            {name: self.values[name] for name in kept}, {name: self.present[name] for name in kept}
        )

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

    as_of: what of account and sound is read: what had been seen before the post, or ("crawl"),
    where nothing had, what was seen first afterwards. history: which counts of earlier posts:
    those seen before the post ("observed"), those that the catalog has of posts at least a day
    older ("posted"), "auto": the former where the catalog looked in time, "none".
    Before fitting the `…_width` are wishes: a block gets at most one column of text, tags or
    features per eight training rows that have it. 0: no such block. Learned sizes (below
    `seed`) are 0 until then. A model's config inherits these fields, so that it stays flat.
    """

    as_of: AsOf = "post"
    history: Literal["auto", "observed", "posted", "none"] = "auto"
    use_form: bool = True
    use_meta: bool = True
    use_account: bool = True
    use_sound: bool = True
    use_traits: bool = True
    text_width: int = 48
    tags_width: int = 16
    words_width: int = 16
    screen_width: int = 16
    sentence_width: int = 32
    visual_width: int = 32
    frames_width: int = 32
    audio_width: int = 32
    use_opening: bool = True
    text_buckets: int = 2**16
    seed: int = learned(0, "is that of the training: give --seed")
    opening_size: int = learned(0)
    sentence_size: int = learned(0)
    visual_size: int = learned(0)
    frames_size: int = learned(0)
    audio_size: int = learned(0)

    def __post_init__(self) -> None:
        if self.text_buckets < 1:
            raise BadSetting(f"text_buckets {self.text_buckets} must be above 0")
        if self.as_of not in AS_OF or self.history not in HISTORY:
            raise BadSetting(
                f"as_of {self.as_of!r} must be one of {', '.join(AS_OF)}, "
                f"history {self.history!r} one of {', '.join(HISTORY)}"
            )

    def widths(self) -> dict[str, int]:
        """Columns of every possible block, in order; 0: no such block."""
        wide = {name: width if size > 0 else 0 for name, (size, width) in self.wide_sizes().items()}
        uses = {"account": self.use_account, "sound": self.use_sound, "traits": self.use_traits}
        return {
            "form": len(FORM_NAMES) if self.use_form else 0,
            "meta": len(POST_NAMES) if self.use_meta else 0,
            "text": self.text_width,
            "tags": self.tags_width,
            "words": self.words_width + WORDS_COLUMNS if self.words_width else 0,
            **{name: len(names) if uses[name] else 0 for name, (names, _) in KNOWN.items()},
            **{name: len(names) if self.reads_history else 0 for name, names in PAST.items()},
            "screen": self.screen_width,
            "opening": self.opening_size if self.use_opening else 0,
            **wide,
        }

    def text_widths(self) -> dict[str, int]:
        """Axes of each block that reads text."""
        return {
            "text": self.text_width,
            "tags": self.tags_width,
            "words": self.words_width,
            "screen": self.screen_width,
        }

    def wide_sizes(self) -> dict[str, tuple[int, int]]:
        """(numbers of the feature, axes) of each block that reads a feature."""
        return {
            "sentence": (self.sentence_size, self.sentence_width),
            "visual": (self.visual_size, self.visual_width),
            "frames": (self.frames_size, self.frames_width),
            "audio": (self.audio_size, self.audio_width),
        }

    @property
    def reads_history(self) -> bool:
        """Whether rows have to bring what earlier posts got."""
        return self.history != "none"


# Rows that the scales of the finished blocks are measured on; more would only cost time.
SCALE_ROWS: Final = 5_000
ROWS_PER_COLUMN: Final = 8


class BlockEncoder(nn.Module):
    """Examples in, blocks of numbers out; fitted by `fit`, all it learned is in its buffers.

    It learns from no label. Its tensors stay on the CPU, where captions are, whatever device the
    network around it moves to. Same row, same numbers, alone or among others.
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

    @classmethod
    def fit(
        cls, rows: Iterable[Example], *, seed: int, settings: BlockConfig | None = None
    ) -> "BlockEncoder":
        """Learn from the training rows, read once; memory is that of a sample of them.

        Raises NothingToTrain without rows, or anything said of a row.
        """
        gathered = Gathered(seed=seed)
        for example in rows:
            gathered.add(example)
        return _fitted(replace(settings or BlockConfig(), seed=seed), gathered)

    def encode(self, examples: Sequence[Example]) -> Encoded:
        """The rows' blocks. Raises IncompatibleFeatures, NotFinite naming the video."""
        values: dict[str, NDArray[np.float32]] = {}
        present: dict[str, NDArray[np.bool_]] = {}
        for block in self.blocks:
            raw = np.zeros((len(examples), block.width))
            has = np.zeros(len(examples), dtype=np.bool_)
            for row, example in enumerate(examples):
                columns = self._raw(block.name, example)
                if columns is not None:
                    raw[row], has[row] = columns, True
            scaled = cast(Scale, self.scales[block.name]).read(raw)
            values[block.name] = np.where(has[:, None], scaled, 0.0).astype(np.float32)
            present[block.name] = has
        return Encoded(values, present)

    def likeness(self, example: Example) -> dict[str, float]:
        """By block, per cent of training rows that are less like the others than this one.

        Only of features, where the row has one and training had enough of them.
        """
        found = {}
        for name, axes in self.wide.items():
            size, _ = self.config.wide_sizes()[name]
            value = wide_feature(name, example, size)
            told = None if value is None else cast(WideAxes, axes).likeness_of(value)
            if told is not None:
                found[name] = told
        return found

    def _raw(self, block: str, example: Example) -> Floats | None:
        """Columns of a row before scaling, NaN where one is unknown; None: it has no such block."""
        facts = example.facts
        if block in KNOWN:
            return KNOWN[block][1](facts)
        if block in PAST:
            return _past(block, example)
        match block:
            case "form":
                return caption_form(facts)
            case "meta":
                return post_numbers(facts)
            case "words":
                return self._words(facts)
            case "text" | "tags" | "screen":
                grams = GRAMS[block](facts)
                return self._place(block, grams) if grams else None
            case "opening":
                numbers = wide_feature(block, example, self.config.opening_size)
                return None if numbers is None else numbers.astype(np.float64)
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

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: ARG002
        return self  # what moves or casts the network leaves the tables as they are


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


def shown(facts: PostFacts) -> list[str]:
    """Grams of what is written on the screen."""
    return ngrams(facts.screen or "")


GRAMS: Final[dict[str, Callable[[PostFacts], list[str]]]] = {
    "text": written,
    "words": spoken,
    "tags": tag_grams,
    "screen": shown,
}


def _past(block: str, example: Example) -> Floats | None:
    if example.history is None:
        return None
    history = np.asarray(example.history, dtype=np.float64)
    if history.shape != (len(PAST_COLUMNS),):
        raise IncompatibleFeatures(
            f"history of video {example.video_id} has {history.size} numbers; "
            f"this encoder reads {len(PAST_COLUMNS)}"
        )
    numbers = history[place_of(block)]
    return None if np.isnan(numbers).all() else numbers


def _fitted(asked: BlockConfig, gathered: Gathered) -> BlockEncoder:
    """The encoder of what was gathered; NothingToTrain where no row says anything of itself."""
    sample = gathered.sample.items
    facts = [example.facts for example in sample]
    texts = {
        "text": [one for one in facts if one.caption],
        "words": [one for one in facts if one.transcript],
        "tags": [one for one in facts if one.hashtags],
        "screen": [one for one in facts if one.screen],
    }
    axes = {name: _columns(asked.text_widths()[name], len(rows)) for name, rows in texts.items()}
    sizes = {name: kept.items[0].size for name, kept in gathered.wide.items()}
    wide = {
        name: min(sizes[name], _columns(asked.wide_sizes()[name][1], len(kept.items)))
        for name, kept in gathered.wide.items()
        if name not in NUMBERS
    }
    found: dict[str, Any] = {
        "use_form": asked.use_form and any(caption_form(one) is not None for one in facts),
        "use_meta": asked.use_meta and any(post_numbers(one) is not None for one in facts),
        "history": asked.history if any(_any_past(example) for example in sample) else "none",
    }
    for name, (_, numbers) in KNOWN.items():
        of_any = any(numbers(one) is not None for one in facts)
        found[f"use_{name}"] = getattr(asked, f"use_{name}") and of_any
    found |= {f"{name}_width": width for name, width in axes.items()}
    found |= {f"{name}_width": wide.get(name, 0) for name in asked.wide_sizes()}
    found |= {f"{name}_size": sizes.get(name, 0) for name in (*asked.wide_sizes(), *NUMBERS)}
    config = replace(asked, **found)
    encoder = BlockEncoder(config)
    if not encoder.blocks:
        raise NothingToTrain(
            f"none of {gathered.n_rows} training rows has a caption, hashtags, a time, a size, an "
            "account or a feature; a model of the post needs at least one of them"
        )
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


def _any_past(example: Example) -> bool:
    return example.history is not None and not np.isnan(np.asarray(example.history)).all()


def _fit_scales(encoder: BlockEncoder, gathered: Gathered) -> None:
    for name, scale in encoder.scales.items():
        if name in encoder.wide:
            axes = cast(WideAxes, encoder.wide[name])
            raw = [axes.read(value) for value in gathered.wide[name].items[:SCALE_ROWS]]
        elif name in NUMBERS:
            raw = [value.astype(np.float64) for value in gathered.wide[name].items[:SCALE_ROWS]]
        else:
            rows = gathered.sample.items[:SCALE_ROWS]
            read = [encoder._raw(name, example) for example in rows]
            raw = [value for value in read if value is not None]
        if raw:
            cast(Scale, scale).fit(np.stack(raw))
        if name == "level":
            # Forecasts move with it, and it hardly moves in some collections: clipped at six sd of
            # those, they would stay behind when it does.
            cast(Scale, scale).sd.clamp_(min=1.0)


def _columns(wish: int, n_rows: int) -> int:
    """Axes that n rows can carry, at most `wish`."""
    return min(wish, max(1, n_rows // ROWS_PER_COLUMN)) if n_rows >= 2 else 0


Config = TypeVar("Config", bound=BlockConfig)


def with_sizes(config: Config, encoder: BlockEncoder) -> Config:
    """A model's config with the sizes that its fitted encoder has."""
    sizes = {f.name: getattr(encoder.config, f.name) for f in fields(BlockConfig)}
    return replace(config, **sizes)
