"""Telling: once for each slot, kind and channel; what was not taken is tried again."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.exc import OperationalError

from catalog.commands.alerts import telling
from catalog.console import App
from catalog.errors import Busy, NotReady, SchemaBehind
from catalog.files import locked
from catalog.read.nights import facts_of
from catalog.record.sightings import store_sightings
from catalog.schema.session import Catalog, open_catalog
from catalog.schema.tables import Event, Run
from catalog.schema.types import utc_now
from catalog.settings import Settings
from catalog.work import alerts
from catalog.work.alerts import in_background, journal, run_alerts, tell_closed
from catalog.work.runs import record_run
from tests.catalog.factories import seen, video_facts
from tests.listeners import WebHook, free_port, web_hook

SLOT = "nightly/2026-11-23"
SECRET = "hush8317hush8317hush8317hush"


@pytest.fixture
def hook():
    with web_hook() as listening:
        yield listening


def app_of(catalog: Catalog, tmp_path: Path, urls: list[str], **more: object) -> App:
    # The disk that tests run on is whoever's.
    own = {"urls": urls, "retry_after_s": 0, "disk_free_gb": 0, "disk_free_share": 0, **more}
    app = App(flags={"db": catalog.url, "data": tmp_path, "alerts": own})
    app.__dict__["catalog"] = catalog
    return app


@pytest.fixture
def app(catalog: Catalog, tmp_path: Path, hook: WebHook) -> App:
    return app_of(catalog, tmp_path, [f"json://127.0.0.1:{hook.port}/{SECRET}"])


def night(catalog: Catalog, slot: str, n_new: int = 0, *, failed: str = "") -> int:
    """One night that listed something and found so many videos; failed: the code of a stage."""
    with record_run(catalog, "nightly", params={}, slot=slot) as run:
        with record_run(catalog, "scrape", params={}, parent_id=run.id) as scrape:
            now = utc_now()
            sightings = [
                (video_facts(f"{run.id:04}{n:04}"), seen(1.0, at=now)) for n in range(n_new)
            ]
            with catalog.write() as session:
                store_sightings(session, sightings, run_id=None, found_by="dance")
            scrape.done()
        run.done()
        if failed:
            run.failed("fetch", failed, "the words of the error")
    return run.id


def codes(catalog: Catalog) -> list[str]:
    with catalog.read() as session:
        return [row["code"] for row in journal(session, 100)][::-1]


def test_a_slot_and_kind_is_told_once(catalog: Catalog, app: App, hook: WebHook) -> None:
    night(catalog, SLOT, failed="stage_failed")

    first, second = run_alerts(app, slot=SLOT), run_alerts(app, slot=SLOT)
    unasked = run_alerts(app)

    assert hook.titles == [f"viewcast: {SLOT} failed"]
    assert (first.status, first.n_done, first.exit_code) == ("ok", 1, 0)
    assert (second.n_done, second.codes) == (0, {"told_before": 1})
    assert (unasked.n_done, unasked.codes) == (0, {"told_before": 1})
    assert codes(catalog) == ["alert_raised", "alert_sent"]
    night(catalog, "nightly/2026-11-24", failed="stage_failed")
    run_alerts(app)
    assert len(hook.titles) == 2


def test_what_was_not_taken_is_tried_again_by_the_next_check(
    catalog: Catalog, tmp_path: Path, hook: WebHook
) -> None:
    urls = [f"json://127.0.0.1:{free_port()}/{SECRET}", f"json://127.0.0.1:{hook.port}/"]
    night(catalog, SLOT, failed="stage_failed")

    first = run_alerts(app_of(catalog, tmp_path, urls), slot=SLOT)
    assert (first.status, first.n_done, first.n_failed) == ("partial", 1, 1)
    assert len(hook.titles) == 1

    # Another night has come meanwhile; what the first channel did not take comes late, not never.
    night(catalog, "nightly/2026-11-24")
    urls[0] = f"json://127.0.0.1:{hook.port}/late"
    second = run_alerts(app_of(catalog, tmp_path, urls))

    assert (second.status, second.n_done) == ("ok", 1)
    assert hook.paths == ["/", "/late"]
    assert codes(catalog) == ["alert_raised", "alert_failed", "alert_sent", "alert_sent"]


def test_killed_before_it_was_written_down_an_alert_is_sent_again(
    catalog: Catalog, app: App, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(catalog, SLOT, failed="stage_failed")

    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(alerts, "_record", die)
        with pytest.raises(KeyboardInterrupt):
            run_alerts(app, slot=SLOT)
    run_alerts(app, slot=SLOT)

    assert len(hook.titles) == 2  # twice, and never not at all


def test_nothing_older_than_three_days_is_sent(
    catalog: Catalog, tmp_path: Path, app: App, hook: WebHook
) -> None:
    night(catalog, SLOT, failed="stage_failed")
    run_alerts(app_of(catalog, tmp_path, [f"json://127.0.0.1:{free_port()}/"]))
    with catalog.write() as session:
        session.execute(update(Event).values(at=utc_now() - timedelta(days=4)))
    run_alerts(app)

    assert hook.titles == []


def test_without_a_channel_an_alert_is_written_down_all_the_same(
    catalog: Catalog, tmp_path: Path
) -> None:
    night(catalog, SLOT, failed="stage_failed")

    outcome = run_alerts(app_of(catalog, tmp_path, []))

    assert (outcome.status, codes(catalog)) == ("ok", ["alert_raised"])


def test_a_muted_kind_is_told_to_nobody(catalog: Catalog, tmp_path: Path, hook: WebHook) -> None:
    night(catalog, SLOT, failed="stage_failed")
    urls = [f"json://127.0.0.1:{hook.port}/"]
    run_alerts(app_of(catalog, tmp_path, urls, mute=["night_failed"]))

    assert hook.asked == []


def test_a_muted_bad_night_is_no_good_one(catalog: Catalog, tmp_path: Path, hook: WebHook) -> None:
    night(catalog, SLOT, failed="stage_failed")
    ping_url = f"http://127.0.0.1:{hook.port}/ping"
    run_alerts(app_of(catalog, tmp_path, [], ping_url=ping_url, mute=["night_failed"]), slot=SLOT)
    assert hook.paths == ["/ping/fail"]


def test_a_full_disk_is_told_of_though_nothing_can_be_written(
    catalog: Catalog, app: App, hook: WebHook
) -> None:
    if catalog.engine.dialect.name != "sqlite":
        pytest.skip("its server's disk is full")

    def fill(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # no page more than there are

    night(catalog, SLOT, failed="stage_failed")
    full = open_catalog(catalog.url)
    full.engine.dispose()
    event.listen(full.engine, "connect", fill)
    app.__dict__["catalog"] = full

    def look_until_full() -> None:
        with telling(app):
            for _ in range(1_000):  # what is free in the pages that there are is used up first
                run_alerts(app)

    with pytest.raises(OperationalError, match="disk is full"):
        look_until_full()
    full.close()
    assert hook.titles[-1] == "viewcast: the catalog cannot be opened"
    assert "disk is full" in hook.asked[-1][2]["message"]


def test_the_night_that_ends_is_judged_while_it_is_under_way(
    catalog: Catalog, app: App, hook: WebHook
) -> None:
    with record_run(catalog, "nightly", params={}, slot=SLOT) as run:
        run.failed("fetch", "stage_failed", "run 9")
        run_alerts(app, parent_id=run.id)
        run.done()

    assert hook.titles == [f"viewcast: {SLOT} failed"]


def test_a_good_night_pings_once_and_a_bad_one_says_so(
    catalog: Catalog, tmp_path: Path, hook: WebHook
) -> None:
    app = app_of(catalog, tmp_path, [], ping_url=f"http://127.0.0.1:{hook.port}/{SECRET}?x=1")
    night(catalog, SLOT)
    run_alerts(app, slot=SLOT)
    run_alerts(app, slot=SLOT)
    run_alerts(app)  # a check of how things stand is no night
    assert hook.paths == [f"/{SECRET}?x=1"]

    night(catalog, "nightly/2026-11-24", failed="stage_failed")
    run_alerts(app, slot="nightly/2026-11-24")
    assert hook.paths[1:] == [f"/{SECRET}/fail?x=1"]


def test_new_videos_are_those_first_seen_in_the_night(catalog: Catalog, tmp_path: Path) -> None:
    for day, n_new in enumerate((9, 8, 7, 2), 1):
        night(catalog, f"nightly/2026-11-{day:02}", n_new)
    with catalog.read() as session:
        facts = facts_of(session, tmp_path)

    assert facts.night is not None
    assert (facts.slot, facts.night.n_new) == ("nightly/2026-11-04", 2)
    assert facts.n_new_before == (7, 8, 9)


def test_a_night_whose_lists_were_all_fresh_has_no_number_of_new_videos(
    catalog: Catalog, tmp_path: Path
) -> None:
    with record_run(catalog, "nightly", params={}) as run:
        with record_run(catalog, "scrape", params={}, parent_id=run.id) as scrape:
            scrape.skipped("#dance", "fresh")
        run.done()
    with catalog.read() as session:
        facts = facts_of(session, tmp_path)

    assert facts.night is not None
    assert (facts.night.n_new, facts.slot) == (None, f"nightly/run-{run.id}")


def test_a_lost_night_is_told_of_once_its_process_is_gone(
    catalog: Catalog, app: App, hook: WebHook
) -> None:
    run_id = night(catalog, SLOT)
    with catalog.write() as session:
        dead = {"status": "running", "finished_at": None, "pid": 2**22 + 1, "process": "1"}
        session.execute(update(Run).where(Run.id == run_id).values(**dead))
    run_alerts(app)

    assert hook.titles == [f"viewcast: {SLOT} failed"]
    assert "its process died" in hook.asked[0][2]["message"]


def test_a_child_that_died_without_a_run_is_told_of(
    catalog: Catalog, app: App, hook: WebHook
) -> None:
    with catalog.write() as session:
        detail = {"exit_code": -9}
        row = {"level": "error", "code": "job_failed", "subject": SLOT, "detail": detail}
        session.add(Event(at=utc_now(), **row))
    run_alerts(app, slot=SLOT)

    assert "exit code -9" in hook.asked[0][2]["message"]


def test_a_slot_that_the_daemon_missed_is_told_of_without_waiting(
    catalog: Catalog, app: App, hook: WebHook
) -> None:
    night(catalog, "nightly/2026-11-22")
    with catalog.write() as session:
        detail = {"why": "no daemon was running"}
        row = {"level": "error", "code": "schedule_missed", "subject": SLOT, "detail": detail}
        session.add(Event(at=utc_now(), **row))
    in_background(lambda: run_alerts(app, slot=SLOT)).join()

    assert hook.titles == [f"viewcast: {SLOT} was missed"]
    assert "no daemon was running" in hook.asked[0][2]["message"]


def test_two_that_tell_at_the_same_time_wait_for_each_other(
    catalog: Catalog, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "WAIT_S", 0.0)
    with locked(tmp_path / alerts.LOCK, "x"), pytest.raises(Busy):
        run_alerts(app)


def test_no_secret_is_in_the_catalog(catalog: Catalog, tmp_path: Path, hook: WebHook) -> None:
    closed = free_port()
    urls = [
        f"json://user:{SECRET}@127.0.0.1:{hook.port}/{SECRET}",
        f"mmost://127.0.0.1:{closed}/{SECRET}",
        f"mailto://user:{SECRET}@127.0.0.1:{closed}?from=a@example.org&to=b@example.org",
    ]
    app = app_of(catalog, tmp_path, urls[:2], ping_url=f"http://127.0.0.1:{closed}/{SECRET}")
    night(catalog, SLOT, failed="stage_failed")
    run_alerts(app, slot=SLOT)

    with catalog.read() as session:
        rows = [*session.scalars(select(Event)), *session.scalars(select(Run))]
        told = repr([row.__dict__ for row in rows])
    assert "1:json" in told
    assert SECRET not in told
    assert SECRET not in repr(app.settings)


def closed_settings(tmp_path: Path, *urls: str) -> Settings:
    own = {"urls": list(urls), "retry_after_s": 0}
    return App(flags={"data": tmp_path, "alerts": own}).settings


def test_a_catalog_that_cannot_be_opened_is_told_of_once_a_day(
    tmp_path: Path, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = closed_settings(tmp_path, f"json://127.0.0.1:{hook.port}/{SECRET}")
    behind = SchemaBehind("the catalog is at schema 0007: run `viewcast db upgrade`")

    assert [delivery.reason for delivery in tell_closed(settings, behind)] == [None]
    assert tell_closed(settings, behind) == []
    assert hook.titles == ["viewcast: the schema is behind"]
    assert "`viewcast db upgrade`" in hook.asked[0][2]["message"]
    # Another trouble is another alert.
    assert len(tell_closed(settings, NotReady("cannot open it"))) == 1
    tomorrow = utc_now() + timedelta(days=1)
    monkeypatch.setattr(alerts, "utc_now", lambda: tomorrow)
    assert len(tell_closed(settings, behind)) == 1
    assert SECRET not in (tmp_path / alerts.JOURNAL).read_text()


def test_a_closed_catalog_is_told_again_where_it_was_not_taken(
    tmp_path: Path, hook: WebHook
) -> None:
    hook.answers += [500] * 3
    settings = closed_settings(tmp_path, f"json://127.0.0.1:{hook.port}/")
    behind = SchemaBehind("behind")

    assert [delivery.reason for delivery in tell_closed(settings, behind)] == ["HTTP 500"]
    (tmp_path / alerts.JOURNAL).write_text("not JSON")  # told twice rather than never
    assert [delivery.reason for delivery in tell_closed(settings, behind)] == [None]
    assert tell_closed(settings, behind) == []
