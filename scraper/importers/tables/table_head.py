"""Look at a table's first rows, and refuse what is wrong with a column as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scraper.errors import BadColumns, BadId, RowRefused, shown
from scraper.importers.facts import NUMBER
from scraper.importers.fields import (
    TIKTOK,
    TimeForm,
    is_day_only,
    is_missing,
    names_video,
    posted_by_id,
    read_moment,
    read_platform,
    rounding_of,
)
from scraper.importers.report import Offsets
from scraper.importers.video import ImportOptions
from scraper.items import check_id

# So many of the first ids rounded, and it is no accident of a few rows.
MIN_ROUNDED, MAX_ROUNDED = 3, 0.5
# No short video has so many seconds, and any has so many milliseconds.
MANY_S = 1_000
# What is tried on times in no form that can be seen, to name those that fit.
DAY_FORMS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
HOUR_FORMS = ("", " %H:%M", " %H:%M:%S", ", %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
WORD_FORMS = ("%a %b %d %H:%M:%S %z %Y", "%a, %d %b %Y %H:%M:%S %z", "%b %d, %Y", "%d %b %Y")
# The last is that of a well-known table of YouTube's trending videos: year, day, month.
DATE_FORMS = (*(day + hour for day in DAY_FORMS for hour in HOUR_FORMS), *WORD_FORMS, "%y.%d.%m")


@dataclass(frozen=True)
class Head:
    """A table's first rows, and where their fields are."""

    header: Sequence[str]
    columns: dict[str, int]
    rows: Sequence[Sequence[object]]
    options: ImportOptions

    def cells(self, field: str) -> list[object]:
        """Return what a field's column holds, without the empty cells."""
        place = self.columns.get(field)
        if place is None:
            return []
        return [row[place] for row in self.rows if not is_missing(row[place])]

    def name(self, field: str) -> str:
        """Return the name of a field's column."""
        return self.header[self.columns[field]]

    def of_tiktok(self) -> list[Sequence[object]]:
        """Return the rows whose ids are tiktok's."""
        place = self.columns.get("platform")
        return [
            row
            for row in self.rows
            if _is_tiktok(None if place is None else row[place], self.options.platform)
        ]


def check_head(head: Head) -> None:
    """Refuse ids that were rounded, times in no known form, and lengths of no known unit.

    An error of the time zone is noted in the report, and its times are not taken. Raises
    BadColumns.
    """
    _check_ids(head)
    for field in ("posted_at", "observed_at"):
        _check_times(head, field)
    _check_lengths(head)
    head.options.report.is_shifted = _is_shifted(head)


def _check_ids(head: Head) -> None:
    place = head.columns.get("id")
    if place is None or head.options.keep_round_ids:
        return
    url = head.columns.get("url")
    rows = head.of_tiktok()
    ids = [row[place] for row in rows if url is None or not names_video(row[url], TIKTOK)]
    signs = [sign for value in ids if (sign := rounding_of(value))]
    if len(signs) >= MIN_ROUNDED and len(signs) > MAX_ROUNDED * len(ids):
        raise BadColumns(
            f"of the first {len(ids)} ids in {head.name('id')!r} {len(signs)} were rounded: each "
            f"{max(signs, key=signs.count)}; export the column as text, or, if they are whole, say "
            "--keep-round-ids, or --platform if they are another site's"
        )


def _check_times(head: Head, field: str) -> None:
    cells, form = head.cells(field), head.options.time_form
    if not cells or any(_moment(cell, form) is not None for cell in cells):
        return
    name = head.name(field)
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    fitting = [form for form in DATE_FORMS if texts and all(_fits(text, form) for text in texts)]
    if len(fitting) > 1:
        what = " or ".join(f"--date-format {form!r}" for form in fitting[:3])
    elif fitting:
        what = f"--date-format {fitting[0]!r}"
    else:
        what = "--date-format with its form, such as '%d/%m/%Y %H:%M'"
    raise BadColumns(
        f"no time can be read in {name!r} ({field}), such as {shown(cells[0])}: say {what}, or "
        f"--ignore {name!r}"
    )


def _check_lengths(head: Head) -> None:
    if "duration_s" in head.options.columns:
        return
    cells = head.cells("duration_s")
    plain = [str(cell).strip() for cell in cells]
    is_many = [NUMBER.fullmatch(text) is not None and float(text) > MANY_S for text in plain]
    if cells and all(is_many):
        name = head.name("duration_s")
        raise BadColumns(
            f"every length in {name!r} is more than {MANY_S:,}, such as {shown(cells[0])}: "
            f"milliseconds? say --column duration_ms={name!r}, or duration_s={name!r} for seconds"
        )


def _is_shifted(head: Head) -> bool:
    """Say whether nearly all stated times lie a zone's offset away from the ids' uploads."""
    place, id_place = head.columns.get("posted_at"), head.columns.get("id")
    if place is None or id_place is None:
        return False
    offsets, form = Offsets(), head.options.time_form
    for row in head.of_tiktok():
        moment = _moment(row[place], form)
        uploaded = _uploaded(row[id_place])
        if moment is not None and uploaded is not None and not is_day_only(row[place], form):
            offsets.add((moment - uploaded).total_seconds())
    return offsets.zone_error() is not None


def _is_tiktok(stated: object, wanted: str | None) -> bool:
    try:
        return read_platform(stated, wanted) == TIKTOK
    except RowRefused:
        return False


def _moment(cell: object, form: TimeForm) -> datetime | None:
    try:
        return read_moment(cell, "", form)
    except RowRefused:
        return None


def _uploaded(raw_id: object) -> datetime | None:
    try:
        return posted_by_id(check_id(str(raw_id).strip(" '=\"")))
    except BadId:
        return None


def _fits(text: str, form: str) -> bool:
    try:
        return datetime.strptime(text, form).year > 1999  # noqa: DTZ007 (only whether it fits)
    except ValueError:
        return False
