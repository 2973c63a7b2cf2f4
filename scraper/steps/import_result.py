"""What an import found, counted while it runs and summed up at its end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from catalog.runs import Outcome
from scraper.importers import Format, ImportedVideo, RejectedLine
from scraper.importers.errors import printable

N_SHOWN = 20


@dataclass(frozen=True)
class ImportResult:
    """What an import found.

    outcome, n_new_videos, n_known_videos, n_observations: None in a dry run, which writes and
    asks nothing. rejected: rows by reason. media_failed: files by reason. sample: the first of
    both, failures before skips.
    """

    outcome: Outcome | None
    format: Format
    n_rows: int
    n_new_videos: int | None
    n_known_videos: int | None
    n_observations: int | None
    n_media: int
    n_tombstoned: int
    rejected: dict[str, int]
    media_failed: dict[str, int]
    sample: tuple[RejectedLine, ...]

    def counts(self) -> dict[str, object]:
        """Everything but the outcome, to print."""
        counts = asdict(self)
        del counts["outcome"], counts["format"]
        # Not `format`: that is the number of every JSON document's own form.
        return {"file_format": self.format, **counts}


class Tally:
    """What an import has found so far."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.counts = Counter[str]()
        self.rejected = Counter[str]()
        self.media_failed = Counter[str]()
        self._failed: list[RejectedLine] = []
        self._skipped: list[RejectedLine] = []

    def reject(self, rows: Sequence[RejectedLine]) -> None:
        """Count refused rows, and keep the first of them to show."""
        for row in rows:
            self.rejected[row.reason] += 1
            shown = self._skipped if row.is_skip else self._failed
            if len(shown) < N_SHOWN:
                shown.append(row)

    def fail_media(self, row: ImportedVideo, code: str, message: str) -> None:
        """Count a file that was not taken, and keep the first of them to show."""
        self.media_failed[code] += 1
        if len(self._failed) < N_SHOWN:
            tiktok_id = row.sighting.tiktok_id
            name = printable(row.media.name) if row.media else ""
            self._failed.append(RejectedLine(row.line, tiktok_id, code, message, "", name))

    def result(self, found: Format, outcome: Outcome | None) -> ImportResult:
        """Sum up; outcome is None where nothing was written."""

        def stored(name: str) -> int | None:
            return None if outcome is None else self.counts[name]

        return ImportResult(
            outcome=outcome,
            format=found,
            n_rows=self.counts["rows"],
            n_new_videos=stored("new"),
            n_known_videos=stored("known"),
            n_observations=stored("observations"),
            n_media=self.counts["media"],
            n_tombstoned=self.counts["tombstoned"],
            rejected=dict(self.rejected),
            media_failed=dict(self.media_failed),
            sample=tuple([*self._failed, *self._skipped][:N_SHOWN]),
        )
