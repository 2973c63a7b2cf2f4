"""Find out which column of a table is what, by the names that tools give them; never by guess."""

import re
from collections.abc import Mapping, Sequence

from scraper.errors import BadColumns

# Our name -> the names it goes by, compared without case and punctuation; best first.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "id": ("tiktokid", "videoid", "awemeid", "itemid", "postid", "id"),
    "views": (
        "views",
        "viewcount",
        "viewscount",
        "playcount",
        "plays",
        "videoviews",
        "videoviewcount",
        "videoplaycount",
        "numviews",
        "viewstext",
        "statsv2playcount",
        "statsplaycount",
        "statisticsplaycount",
    ),
    "views_k": ("viewsk",),
    "platform": ("platform", "extractorkey", "extractor"),
    "url": ("tiktokurl", "webvideourl", "webpageurl", "posturl", "permalink", "shareurl", "url"),
    "caption": ("caption", "desc", "videodescription", "description", "text", "body", "title"),
    "author": (
        "author",
        "username",
        "authorname",
        "authorusername",
        "authormetaname",
        "authoruniqueid",
        "uniqueid",
        "handle",
        "uploader",
    ),
    "hashtags": ("hashtags", "hashtagnames", "challenges", "tags"),
    "posted_at": (
        "postedat",
        "createtime",
        "createtimeiso",
        "unixtimestamp",
        "createdat",
        "publishedat",
        "posttime",
        "uploadtime",
        "timestamp",
    ),
    "observed_at": (
        "observedat",
        "collectedat",
        "timestampcollected",
        "scrapedat",
        "crawledat",
        "crawltime",
        "crawldate",
        "collectiontime",
        "collectiondate",
        "retrievedat",
        "epoch",
    ),
    "duration_s": ("durations", "durationsec", "duration", "videoduration", "videometaduration"),
    "width_px": ("widthpx", "width", "videowidth", "videometawidth"),
    "height_px": ("heightpx", "height", "videoheight", "videometaheight"),
    "ad": ("isad", "isads"),
    "photo": ("isslideshow", "isphoto", "isimagepost"),
    "private": ("privateitem", "isprivate"),
}
# Two columns for one of these, and nobody can know which one is meant.
ONLY_ONE = ("id", "views", "views_k")
MAX_NAMED = 40


def find_columns(header: Sequence[str], wanted: Mapping[str, str]) -> dict[str, int]:
    """Return our name of each field -> the number of its column.

    wanted: our name -> the column's, as the person says. Raises BadColumns.
    """
    found = {field: _wanted(header, field, name) for field, name in wanted.items()}
    plain = [plain_name(name) for name in header]
    taken = set(found.values())
    for field, synonyms in SYNONYMS.items():
        if field in found:
            continue
        here = [n for name in synonyms for n, column in enumerate(plain) if column == name]
        here = [n for n in here if n not in taken]
        if len(here) > 1 and field in ONLY_ONE:
            names = " and ".join(repr(header[n]) for n in here)
            is_plain = len({header[n] for n in here}) == len(here)
            what = f"say --column {field}=NAME" if is_plain else "rename one of them in the file"
            raise BadColumns(f"{names} may both be {field}; {what}")
        if here:
            found[field] = here[0]
    if not found.keys() & {"id", "url"}:
        raise BadColumns(_missing("id", header))
    if not found.keys() & {"views", "views_k"}:
        raise BadColumns(_missing("views", header))
    return found


def n_known(header: Sequence[str]) -> int:
    """Count the columns whose name means something to us."""
    known = {name for synonyms in SYNONYMS.values() for name in synonyms}
    return sum(plain_name(name) in known for name in header)


def plain_name(name: str) -> str:
    """Return a column's name without case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _wanted(header: Sequence[str], field: str, name: str) -> int:
    if field not in SYNONYMS:
        raise BadColumns(f"there is no field {field!r}; there are {', '.join(SYNONYMS)}")
    exact = [n for n, column in enumerate(header) if column == name]
    alike = [n for n, column in enumerate(header) if plain_name(column) == plain_name(name)]
    places = exact or alike
    if len(places) != 1:
        many = "no column" if not places else f"{len(places)} columns"
        raise BadColumns(f"{many} {name!r} for {field}; there are {_listed(header)}")
    return places[0]


def _missing(field: str, header: Sequence[str]) -> str:
    if not any(header):
        return f"no column for {field}: there is no header, and nothing that could be one"
    return f"no column for {field}: there are {_listed(header)}; say --column {field}=NAME"


def _listed(header: Sequence[str]) -> str:
    names = ", ".join(repr(name[:40]) for name in header[:MAX_NAMED])
    return names + (", …" if len(header) > MAX_NAMED else "")
