"""Find out which column of a table is what, by the names that tools give them; never by guess."""

import re
from collections.abc import Collection, Mapping, Sequence

from scraper.errors import BadColumns

# Our name -> the names it goes by, compared without case and punctuation; best first. A name that
# can be read in two ways (length, date, country, video count) is in none of them.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "id": (
        "tiktokid",
        "videoid",
        "awemeid",
        "videoawemeid",
        "itemid",
        "postid",
        "vidid",
        "youtubeid",
        "id",
    ),
    "views": (
        "views",
        "viewcount",
        "viewscount",
        "playcount",
        "plays",
        "videoviews",
        "videoviewcount",
        "videoplaycount",
        "videoplays",
        "numviews",
        "nviews",
        "numplays",
        "nplays",
        "vidnview",
        "viewstext",
        "loops",
        "loopcount",
        "statsv2playcount",
        "statsplaycount",
        "statisticsplaycount",
        "statisticsviewcount",
    ),
    "views_k": ("viewsk",),
    "step_k": ("stepk",),
    "platform": ("platform", "extractorkey", "extractor"),
    "url": (
        "tiktokurl",
        "webvideourl",
        "webpageurl",
        "posturl",
        "permalink",
        "shareurl",
        "videolink",
        "link",
        "url",
    ),
    "caption": (
        "caption",
        "desc",
        "videodesc",
        "videodescription",
        "videocaption",
        "vidcaption",
        "description",
        "text",
        "body",
        "videotitle",
        "snippettitle",
        "title",
    ),
    # pyktok's author_name is the name shown, and its author_username the account's own. A
    # channel is what YouTube has in its place.
    "author": (
        "author",
        "username",
        "authorusername",
        "authormetaname",
        "authoruniqueid",
        "uniqueid",
        "handle",
        "uploader",
        "videoauthor",
        "authorname",
        "creatorusername",
        "creator",
        "channelid",
        "snippetchannelid",
        "channeltitle",
        "channelname",
        "channel",
    ),
    "author_key": ("authorkey",),
    "hashtags": (
        "hashtags",
        "hashtagnames",
        "challenges",
        "videohashtags",
        "vidhashtags",
        "videotags",
        "tags",
    ),
    "posted_at": (
        "postedat",
        "createtime",
        "createtimeiso",
        "unixtimestamp",
        "createdat",
        "publishedat",
        "publishtime",
        "snippetpublishedat",
        "posttime",
        "vidposttime",
        "uploadtime",
        "videotimestamp",
        "videotime",
        "videocreatetime",
        "timecreated",
        "createdtime",
        "creationtime",
        "timestamp",
        "publishedtime",
        "publishdate",
        "publisheddate",
        "uploaddate",
        "createdate",
        "postdate",
        "posteddate",
        "dateposted",
    ),
    "observed_at": (
        "observedat",
        "collectedat",
        "timestampcollected",
        "scrapedat",
        "crawledat",
        "crawltime",
        "crawldate",
        "scrapetime",
        "vidscrapetime",
        "scrapedate",
        "collectiontime",
        "collectiondate",
        "retrievedat",
        "retrievaldate",
        "fetchedat",
        "trendingdate",
        "epoch",
    ),
    "duration_s": (
        "durations",
        "durationsec",
        "durationseconds",
        "durationinseconds",
        "duration",
        "videoduration",
        "videodurationsec",
        "videodurationseconds",
        "videolength",
        "vidduration",
        "lengthseconds",
        "videometaduration",
        "contentdetailsduration",
        "durationstring",
    ),
    "duration_ms": (
        "durationms",
        "videodurationms",
        "durationmillis",
        "durationmilliseconds",
        "durationinms",
        "videodurationmilliseconds",
    ),
    "width_px": ("widthpx", "width", "videowidth", "videometawidth"),
    "height_px": ("heightpx", "height", "videoheight", "videometaheight"),
    "ad": ("isad", "isads", "videoisad"),
    "photo": ("isslideshow", "isphoto", "isimagepost"),
    "private": ("privateitem", "isprivate"),
    "followers": (
        "followers",
        "nfollowers",
        "followercount",
        "followerscount",
        "authorfollowers",
        "authorfollowercount",
        "authorfollowerscount",
        "authormetafans",
        "authorfans",
        "videoauthorfollowercount",
        "fans",
        "userfollowers",
        "userfollowercount",
        "creatorfollowers",
        "channelfollowercount",
        "subscribers",
        "subscribercount",
        "channelsubscribers",
        "channelsubscribercount",
        "authorstatsfollowercount",
    ),
    "following": (
        "following",
        "nfollowing",
        "followingcount",
        "authorfollowing",
        "authorfollowingcount",
        "authormetafollowing",
        "videoauthorfollowingcount",
        "userfollowingcount",
        "authorstatsfollowingcount",
    ),
    "author_likes": (
        "authorlikes",
        "authorlikescount",
        "authorlikesreceived",
        "authorheart",
        "authorhearts",
        "authorheartcount",
        "authormetaheart",
        "videoauthorheartcount",
        "heartcount",
        "userheartcount",
        "authorstatsheartcount",
    ),
    "author_posts": (
        "authorposts",
        "authorpostcount",
        "authorvideos",
        "authorvideocount",
        "authormetavideo",
        "videoauthorvideocount",
        "uservideocount",
        "channelvideocount",
        "authorstatsvideocount",
    ),
    "verified": (
        "verified",
        "isverified",
        "verifiedstatus",
        "authorverified",
        "authorisverified",
        "authorverification",
        "authormetaverified",
        "userverified",
        "channelisverified",
    ),
    "bio": (
        "bio",
        "signature",
        "authorbio",
        "authorbiodata",
        "authorsignature",
        "authormetasignature",
        "userbio",
    ),
    "bio_chars": ("biochars",),
    # The Research API's region_code is where the account was registered, not where it posts from.
    "author_region": (
        "authorregion",
        "authormetaregion",
        "authorcountry",
        "usercountry",
        "channelcountry",
        "regioncode",
    ),
    "sound_id": ("soundid", "musicid", "musicmetamusicid", "videomusicid", "audioid"),
    "sound_title": (
        "soundtitle",
        "soundname",
        "musictitle",
        "musicname",
        "musicmetamusicname",
        "videomusictitle",
        "audiotitle",
    ),
    "sound_author": (
        "soundauthor",
        "musicauthor",
        "musicauthorname",
        "musicmetamusicauthor",
        "videomusicauthor",
    ),
    "sound_original": (
        "soundoriginal",
        "musicoriginal",
        "musicoriginality",
        "musicisoriginal",
        "musicmetamusicoriginal",
        "isoriginalsound",
    ),
    "sound_duration_s": (
        "sounddurations",
        "soundduration",
        "musicdurations",
        "musicduration",
        "musicmetaduration",
    ),
    "sound_uses": (
        "sounduses",
        "soundusecount",
        "soundnvideos",
        "soundvideocount",
        "musicusercount",
        "musicvideocount",
    ),
    "likes": (
        "likes",
        "nlikes",
        "vidnlike",
        "numlikes",
        "likecount",
        "likescount",
        "videolikes",
        "videolikecount",
        "diggcount",
        "videodiggcount",
        "statsdiggcount",
        "statisticsdiggcount",
        "statisticslikecount",
    ),
    "comments": (
        "comments",
        "ncomments",
        "vidncomment",
        "numcomments",
        "commentcount",
        "commentscount",
        "videocomments",
        "videocommentcount",
        "statscommentcount",
        "statisticscommentcount",
    ),
    "shares": (
        "shares",
        "nshares",
        "vidnshare",
        "numshares",
        "sharecount",
        "sharescount",
        "videoshares",
        "videosharecount",
        "statssharecount",
        "statisticssharecount",
    ),
    "saves": (
        "saves",
        "nsaves",
        "savecount",
        "savescount",
        "collectcount",
        "bookmarks",
        "bookmarkcount",
        "favoritescount",
        "videocollectcount",
        "statscollectcount",
        "statisticscollectcount",
    ),
    "language": (
        "language",
        "lang",
        "textlanguage",
        "desclanguage",
        "captionlanguage",
        "videolanguage",
    ),
    "region": ("region", "locationcreated", "videolocationcreated", "videoregion"),
    "sponsored": (
        "issponsored",
        "sponsored",
        "paidpartnership",
        "ispaidpartnership",
        "ispaidpromotion",
        "isbrandedcontent",
    ),
    "duet": ("isduet",),
    "stitch": ("isstitch",),
    "mentions": ("mentions", "nmentions", "mentioncount", "mentionscount", "mentionedusers"),
}
# Two columns for one of these, and nobody can know which one is meant.
ONLY_ONE = ("id", "views", "views_k")
# Lists that a tool lays out in columns of their own: hashtags/0/name, mentions[1].
SPREAD = {
    "hashtags": r"(?:hashtags|challenges)[/._[]+\d+]?(?:[/._]+(?:name|title))?",
    "mentions": r"(?:mentions|mentionedusers)[/._[]+\d+]?",
}
# What only an export of ours has: its is_ad is a mark of a post that was taken all the same.
OUR_OWN = frozenset({"tiktokid", "authorkey"})
MAX_NAMED = 40


def find_columns(
    header: Sequence[str], wanted: Mapping[str, str], ignored: Collection[str] = ()
) -> dict[str, int]:
    """Return our name of each field -> the number of its column.

    wanted: our name -> the column's, as the person says. ignored: columns to leave aside. Raises
    BadColumns.
    """
    found = {field: _wanted(header, field, name) for field, name in wanted.items()}
    plain = [plain_name(name) for name in header]
    is_ours = OUR_OWN.issubset(plain)
    places: dict[str, list[int]] = {}
    for n, name in enumerate(plain):
        places.setdefault(name, []).append(n)
    left_out = {_place(header, name, "--ignore") for name in ignored}
    if twice := left_out.intersection(found.values()):
        raise BadColumns(f"{header[min(twice)]!r} is both named and ignored")
    taken = left_out.union(found.values())
    for field, synonyms in SYNONYMS.items():
        if field in found:
            continue
        if is_ours and field in ("ad", "sponsored"):
            synonyms = {"ad": (), "sponsored": ("isad",)}[field]
        here = [n for name in synonyms for n in places.get(name, ()) if n not in taken]
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
    # Without the sound itself, nothing can be said of it.
    if "sound_id" not in found:
        found = {name: n for name, n in found.items() if not name.startswith("sound_")}
    return found


def find_spread(
    header: Sequence[str], found: Mapping[str, int], ignored: Collection[str] = ()
) -> dict[str, list[int]]:
    """Return the columns of each list that is laid out in several of them."""
    left_out = {_place(header, name, "--ignore") for name in ignored}
    spread = {
        field: [
            n
            for n, name in enumerate(header)
            if n not in left_out and re.fullmatch(pattern, name.strip(), re.IGNORECASE)
        ]
        for field, pattern in SPREAD.items()
        if field not in found
    }
    return {field: places for field, places in spread.items() if places}


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
    return _place(header, name, field)


def _place(header: Sequence[str], name: str, field: str) -> int:
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
    said = f"no column for {field}: there are {_listed(header)}; say --column {field}=NAME"
    said += " or url=NAME" if field == "id" else ""
    if field == "views" or any("://" in name for name in header):
        # What begins a collection: addresses, perhaps without a header.
        said += (
            "; if it has addresses and no counts: `viewcast add --from FILE` puts them on the list "
            "to collect"
        )
    return said


def _listed(header: Sequence[str]) -> str:
    names = ", ".join(repr(name[:40]) for name in header[:MAX_NAMED])
    return names + (", …" if len(header) > MAX_NAMED else "")
