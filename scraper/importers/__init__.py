"""Read what other tools collected: pure readers from a file to videos, one row at a time."""

from scraper.importers.errors import (
    BadColumns,
    BadOption,
    ExtraMissing,
    ImportRefused,
    RowRefused,
    UnknownFormat,
)
from scraper.importers.fields import FORMATS, Format, ImportedVideo, ImportOptions, RejectedLine
from scraper.importers.reading import read_path, sniff

__all__ = [
    "FORMATS",
    "BadColumns",
    "BadOption",
    "ExtraMissing",
    "Format",
    "ImportOptions",
    "ImportRefused",
    "ImportedVideo",
    "RejectedLine",
    "RowRefused",
    "UnknownFormat",
    "read_path",
    "sniff",
]
