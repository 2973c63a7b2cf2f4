"""The formats that an import reads, by name; imports nothing, so that `--help` stays quick."""

from typing import Literal, get_args

Format = Literal[
    "ytdlp",
    "web",
    "actor",
    "table",
    "research",
    "pairs",
    "app",
    "parts",
    "youtube",
    "instagram",
    "page",
    "har",
    "facts",
    "videos",
]
FORMATS: tuple[Format, ...] = get_args(Format)
