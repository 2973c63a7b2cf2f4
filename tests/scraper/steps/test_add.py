from datetime import UTC, datetime

import pytest

from catalog.record.retention import Named, purge
from catalog.work.claims import claim_media, enrol_media
from scraper.address_lists import AddressList, ListedText
from scraper.errors import RowRefused
from scraper.pseudonyms import author_key
from scraper.steps.add import add, remove
from tests.fresh_catalog import ask, fresh_catalog

ID, OTHER_ID = "7571863205253778710", "7571863205253778711"
TUNE = "7098765432109876543"
SALT = b"salt"
ALL = (
    ID,
    f"https://www.tiktok.com/@some.body/video/{OTHER_ID}",
    "@Some.Body",
    f"https://www.tiktok.com/music/a-tune-{TUNE}",
    "https://www.youtube.com/shorts/inVenTed001",
)


@pytest.fixture
def catalog(tmp_path):
    with fresh_catalog(tmp_path) as opened:
        yield opened


def unfollowed(link):
    raise RowRefused("short_link", link)


def add_all(catalog, *texts, resolve=unfollowed, **options):
    entries = tuple(ListedText(number, text) for number, text in enumerate(texts, 1))
    lists = [AddressList("a.txt", entries)]
    return add(catalog, lists, salt=SALT, resolve=resolve, **options)


def told(result):
    return [(refused.line, refused.reason) for refused in result.refused]


def test_each_kind_is_put_on_the_list_once(catalog):
    result = add_all(catalog, *ALL)

    assert (result.outcome.status, result.outcome.n_done) == ("ok", 5)
    assert (result.n_videos, result.n_accounts, result.n_sounds) == (3, 1, 1)
    assert ask(
        catalog, "SELECT platform, tiktok_id, url, wanted_at NOT NULL FROM video ORDER BY 2"
    ) == [
        ("tiktok", ID, f"https://www.tiktok.com/@/video/{ID}", 1),
        ("tiktok", OTHER_ID, f"https://www.tiktok.com/@/video/{OTHER_ID}", 1),
        ("youtube", "inVenTed001", "https://www.youtube.com/shorts/inVenTed001", 1),
    ]
    key = author_key("some.body", SALT)
    assert ask(catalog, "SELECT author_key, handle FROM account") == [(key, "Some.Body")]
    assert ask(catalog, "SELECT platform_id FROM sound") == [(TUNE,)]
    assert ask(catalog, "SELECT kind, status FROM run") == [("add", "ok")]


def test_a_repeated_add_adds_nothing(catalog):
    add_all(catalog, *ALL)
    before = ask(catalog, "SELECT id, wanted_at FROM video")

    again = add_all(catalog, *ALL, f"https://m.tiktok.com/v/{ID}.html", "@some.body")

    assert (again.outcome.status, again.outcome.codes) == ("ok", {"known": 7})
    assert (again.n_videos, again.n_accounts, again.n_sounds, again.n_known) == (0, 0, 0, 7)
    assert ask(catalog, "SELECT id, wanted_at FROM video") == before


def test_one_bad_entry_costs_one_entry_and_names_its_line(catalog):
    texts = ("nonsense", ID, "#dance", "7.57E+18", f"https://www.tiktok.com/@x/photo/{ID}")

    result = add_all(catalog, *texts)

    assert told(result) == [
        (1, "unknown_address"),
        (3, "hashtag"),
        (4, "bad_id"),
        (5, "photo"),
    ]
    assert (result.outcome.status, result.outcome.exit_code) == ("partial", 4)
    assert "topic add" in result.refused[1].detail
    subjects = ask(catalog, "SELECT subject FROM event WHERE level = 'error' ORDER BY id")
    assert subjects == [(f"a.txt:{line}",) for line in (1, 3, 4, 5)]


def test_a_list_with_nothing_good_fails(catalog):
    assert add_all(catalog, "x", "y").outcome.exit_code == 1


def test_a_refused_entry_names_nobody_in_the_journal(catalog):
    texts = (
        "https://www.tiktok.com/@some.body/live",
        "https://www.tiktok.com/%40some.body/live",
        "some.body",
        "@not some.body",
        "some.body@example.org",
    )
    result = add_all(catalog, *texts)
    assert [refused.line for refused in result.refused] == [1, 2, 3, 4, 5]
    rows = ask(catalog, "SELECT subject, detail FROM event WHERE level = 'error' ORDER BY id")
    assert [subject for subject, _detail in rows] == [f"a.txt:{line}" for line in range(1, 6)]
    for _subject, detail in rows:
        assert "some.body" not in detail
        assert "not kept" in detail


def test_many_bad_entries_do_not_end_it(catalog, monkeypatch):
    monkeypatch.setattr("scraper.steps.add.BATCH", 30)
    monkeypatch.setattr("scraper.steps.add.MAX_SHOWN", 40)
    result = add_all(catalog, *(["x"] * 100), ID)
    assert (result.n_videos, result.n_refused, len(result.refused)) == (1, 100, 40)
    assert (result.outcome.n_failed, result.outcome.n_done) == (100, 1)


def test_what_was_purged_is_told_and_does_not_come_back(catalog):
    add_all(catalog, *ALL)
    key = author_key("some.body", SALT)
    with catalog.write() as session:
        purge(session, Named("tiktok", {ID: ID}, {key: "some.body"}), reason="asked")

    again = add_all(catalog, *ALL)

    assert told(again) == [(1, "tombstoned"), (3, "tombstoned")]
    assert (again.n_tombstoned, again.outcome.codes) == (2, {"tombstoned": 2, "known": 3})
    assert ask(catalog, "SELECT count(*) FROM video WHERE tiktok_id = :id", id=ID) == [(0,)]
    assert ask(catalog, "SELECT count(*) FROM account") == [(0,)]


def test_a_short_link_is_what_it_leads_to(catalog):
    links = {
        "https://vm.tiktok.com/ZMa/": f"https://www.tiktok.com/@x/video/{ID}?_r=1",
        "https://vm.tiktok.com/ZMb/": "https://vm.tiktok.com/ZMa/",
        "https://vm.tiktok.com/ZMc/": "https://evil.example/",
    }

    result = add_all(catalog, *links, resolve=links.__getitem__)

    assert result.n_videos == 1
    assert told(result) == [(2, "short_link"), (3, "unknown_address")]


def test_a_dry_run_reads_all_and_stores_nothing(catalog):
    result = add_all(catalog, *ALL, "x", "https://vm.tiktok.com/ZMa/", dry_run=True)

    assert result.outcome is None
    assert (result.n_videos, result.n_accounts, result.n_sounds, result.n_refused) == (3, 1, 1, 2)
    for table in ("video", "account", "sound", "run"):
        assert ask(catalog, f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_known_video_keeps_what_is_known_of_it(catalog):
    add_all(catalog, ID)
    with catalog.write() as session:
        session.connection().exec_driver_sql("UPDATE video SET caption = 'words', wanted_at = NULL")

    result = add_all(catalog, ID)

    assert result.n_known == 1
    [(caption, wanted_at)] = ask(catalog, "SELECT caption, wanted_at FROM video")
    assert caption == "words"
    assert datetime.fromisoformat(wanted_at).replace(tzinfo=UTC) <= datetime.now(UTC)


def remove_all(catalog, *texts, **options):
    entries = tuple(ListedText(number, text) for number, text in enumerate(texts, 1))
    lists = [AddressList("a.txt", entries)]
    return remove(catalog, lists, salt=SALT, resolve=unfollowed, **options)


def on_list(catalog):
    return [
        ask(catalog, f"SELECT {name} FROM {table} WHERE wanted_at NOT NULL ORDER BY 1")
        for table, name in (("video", "tiktok_id"), ("account", "handle"), ("sound", "platform_id"))
    ]


def test_what_is_removed_is_off_the_list_and_stays_where_more_is_known(catalog):
    add_all(catalog, *ALL)
    with catalog.write() as session:
        session.connection().exec_driver_sql(
            f"UPDATE video SET caption = 'words' WHERE tiktok_id = '{OTHER_ID}'"
        )

    result = remove_all(catalog, ID, f"https://m.tiktok.com/v/{OTHER_ID}.html", "@some.body")

    assert (result.outcome.status, result.outcome.n_done) == ("ok", 3)
    assert (result.n_videos, result.n_accounts, result.n_sounds) == (2, 1, 0)
    assert on_list(catalog) == [[("inVenTed001",)], [], [(TUNE,)]]
    # Of the first nothing was known but that it was wanted; the other keeps what is known of it.
    assert ask(catalog, "SELECT tiktok_id FROM video WHERE platform = 'tiktok'") == [(OTHER_ID,)]
    assert ask(catalog, "SELECT author_key, handle FROM account") == [
        (author_key("some.body", SALT), None)
    ]


def test_a_name_stays_where_names_are_kept_anyway(catalog):
    add_all(catalog, "@Some.Body")
    remove_all(catalog, "@some.body", keep_handles=True)
    assert ask(catalog, "SELECT handle, wanted_at FROM account") == [("Some.Body", None)]


def test_what_is_not_on_the_list_is_said_and_nothing_is_touched(catalog):
    add_all(catalog, ID, "@some.body")
    before = on_list(catalog)

    part = remove_all(catalog, "@nobody", OTHER_ID, "nonsense", "@some.body")
    again = remove_all(catalog, "@some.body", "@nobody")

    assert told(part) == [(1, "not_on_list"), (2, "not_on_list"), (3, "unknown_address")]
    assert (part.outcome.exit_code, part.n_accounts) == (4, 1)
    assert "@nobody is not on the list" in part.refused[0].detail
    assert (again.outcome.exit_code, told(again)) == (1, [(1, "not_on_list"), (2, "not_on_list")])
    assert on_list(catalog) == [before[0], [], []]
    for (detail,) in ask(catalog, "SELECT detail FROM event WHERE level = 'error'"):
        assert "nobody" not in detail


def test_a_video_that_is_being_fetched_or_was_is_not_deleted(catalog):
    add_all(catalog, ID, OTHER_ID)
    with catalog.write() as session:
        enrol_media(session)
    [claim] = claim_media(catalog, owner="test", limit=1)

    remove_all(catalog, ID, OTHER_ID)

    assert ask(catalog, "SELECT tiktok_id FROM video") == [(claim.tiktok_id,)]
    assert ask(catalog, "SELECT status FROM media_file") == [("leased",)]


def test_a_dry_removal_looks_and_changes_nothing(catalog):
    add_all(catalog, *ALL)
    before = on_list(catalog)

    result = remove_all(catalog, ID, "@some.body", "@nobody", dry_run=True)

    assert result.outcome is None
    assert (result.n_videos, result.n_accounts, result.n_refused) == (1, 1, 1)
    assert on_list(catalog) == before
    assert ask(catalog, "SELECT count(*) FROM run") == [(1,)]


def test_what_was_removed_may_be_added_again(catalog):
    add_all(catalog, *ALL)
    before = on_list(catalog)
    remove_all(catalog, *ALL)
    assert on_list(catalog) == [[], [], []]
    assert add_all(catalog, *ALL).outcome.n_done == len(ALL)
    assert on_list(catalog) == before
