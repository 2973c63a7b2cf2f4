"""The command `add` and the options of `scrape` that name pages, on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from catalog.schema.session import upgrade
from cli import main
from scraper.replica.content import ReplicaConfig
from scraper.replica.messages import Reply, object_key
from scraper.replica.server import Replica

ID = "7571863205253778710"


def viewcast(data: Path, *words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, ["--data", str(data), *words], input=given)


def document(result: Result) -> dict[str, Any]:
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with an empty catalog."""
    upgrade(f"sqlite:///{tmp_path / 'catalog.db'}")
    return tmp_path


def test_addresses_come_as_arguments_from_files_and_from_standard_input(data: Path) -> None:
    listed = data / "list.csv"
    listed.write_text(f"url,views\nhttps://www.tiktok.com/@x/video/{int(ID) + 1},5\n")

    result = viewcast(
        data, "add", "@x", ID, "--from", str(listed), "--from", "-", "--json", given=f"{ID}\n"
    )

    assert result.exit_code == 0
    found = document(result)
    assert (found["n_videos"], found["n_accounts"], found["n_known"]) == (2, 1, 1)
    assert found["columns_left"] == {"list.csv": ["views"]}
    assert "only addresses are read, not: views" in result.stderr


def test_what_is_not_taken_is_listed_with_its_line(data: Path) -> None:
    listed = data / "list.txt"
    listed.write_text(f"# mine\n{ID}\nnonsense\nhttps://vm.tiktok.com/ZMx/\n")

    result = viewcast(data, "add", "--from", str(listed))

    assert result.exit_code == 4
    assert "list.txt:3" in result.stderr
    assert "list.txt:4" in result.stderr
    assert "site.allow_live" in result.stderr
    assert viewcast(data, "add", "nonsense").exit_code == 1


def test_nothing_to_add_and_an_unreadable_list_are_said(data: Path) -> None:
    assert viewcast(data, "add").exit_code == 2
    assert "no-such-file" in viewcast(data, "add", "--from", "no-such-file").output
    (data / "a.csv").write_text("title,views\na,1\n")
    result = viewcast(data, "add", "--from", str(data / "a.csv"))
    assert (result.exit_code, "title, views" in result.output) == (2, True)


def test_a_dry_run_writes_nothing_at_all(data: Path) -> None:
    found = document(viewcast(data, "add", "@x", ID, "--dry-run", "--json"))
    assert (found["dry_run"], found["n_videos"], found["n_accounts"]) == (True, 1, 1)
    # Not even the key of the author hash is made.
    assert {path.suffix for path in data.iterdir()} <= {".db", ".db-shm", ".db-wal"}
    assert document(viewcast(data, "sql", "select kind from run", "--json"))["rows"] == []


def test_what_was_added_is_what_scrape_and_refresh_would_visit(data: Path) -> None:
    tune = "7098765432109876543"
    viewcast(data, "add", "@some.body", ID, f"https://www.tiktok.com/music/a-{tune}")

    todo = document(viewcast(data, "scrape", "--dry-run", "--json"))
    assert (todo["hashtags"], todo["accounts"], todo["sounds"]) == ([], ["some.body"], [tune])
    named = ("--account", "https://www.tiktok.com/@other", "--sound", "71234")
    todo = document(viewcast(data, "scrape", *named, "--dry-run", "--json"))
    assert (todo["hashtags"], todo["accounts"], todo["sounds"]) == ([], ["other"], ["71234"])
    todo = document(viewcast(data, "refresh", "--dry-run", "--json"))
    assert (todo["n_videos"], todo["n_unseen"]) == (1, 1)


@pytest.mark.parametrize(
    "words",
    [
        ("--account", "#dance"),
        ("--sound", "@x"),
        ("--since", "yesterday"),
        ("--since", "2026-11-02", "--until", "2026-11-01"),
    ],
)
def test_a_choice_that_cannot_be_is_a_usage_error(data: Path, words: tuple[str, ...]) -> None:
    assert viewcast(data, "scrape", *words, "--dry-run").exit_code == 2


def test_a_short_link_of_the_site_is_followed_within_its_day(data: Path) -> None:
    with Replica(ReplicaConfig(videos_per_tag=1), data / "clips") as site:
        first, second = site.content.videos[:2]
        links = [f"{site.url}/t/{object_key(v.tiktok_id)[1:]}/" for v in (first, second)]
        settings = data / "viewcast.toml"
        settings.write_text(f'[site]\nbase_url = "{site.url}"\ndaily_pages = 1\n')

        result = viewcast(data, "--config", str(settings), "add", *links, "--json")

    found = document(result)
    assert (result.exit_code, found["n_videos"]) == (4, 1)
    (refused,) = found["refused"]
    assert (refused["line"], refused["reason"]) == (2, "short_link")
    assert "1 pages of" in refused["detail"]
    rows = document(viewcast(data, "sql", "select tiktok_id from video", "--json"))["rows"]
    assert rows == [{"tiktok_id": first.tiktok_id}]


def test_the_list_can_be_seen_and_things_taken_off_it(data: Path) -> None:
    viewcast(data, "add", "@some.body", ID)
    (data / "off.txt").write_text(f"{ID}\n@some.body\n")
    words = ("add", "--remove", "--from", str(data / "off.txt"), "--json")

    dry = viewcast(data, *words, "--dry-run")
    done = viewcast(data, *words)
    again = viewcast(data, *words)

    assert (dry.exit_code, document(dry)["n_videos"], document(dry)["n_accounts"]) == (0, 1, 1)
    assert (done.exit_code, document(done)["n_videos"]) == (0, 1)
    assert (again.exit_code, document(again)["n_refused"]) == (1, 2)
    todo = document(viewcast(data, "scrape", "--dry-run", "--json"))
    assert todo["accounts"] == []
    assert document(viewcast(data, "refresh", "--dry-run", "--json"))["n_videos"] == 0


def test_an_empty_list_is_said(data: Path) -> None:
    (data / "a.txt").write_text("# nothing yet\n")
    result = viewcast(data, "add", "--from", str(data / "a.txt"))
    assert (result.exit_code, "a.txt: nothing is in it" in result.stderr) == (0, True)


def test_a_refused_short_link_leaves_them_alone_for_a_while(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Replica(ReplicaConfig(videos_per_tag=1), data / "clips") as site:
        link = f"{site.url}/t/{object_key(site.content.videos[0].tiktok_id)[1:]}/"
        settings = data / "viewcast.toml"
        settings.write_text(f'[site]\nbase_url = "{site.url}"\n')
        words = ("--config", str(settings), "add", link, "--json")
        usual = site.site.answer
        monkeypatch.setattr(
            site.site,
            "answer",
            lambda asked: Reply(429) if asked.path.startswith("/t/") else usual(asked),
        )

        refused = viewcast(data, *words)
        monkeypatch.setattr(site.site, "answer", usual)
        n_asked = len(site.requests)
        again = viewcast(data, *words)
        assert len(site.requests) == n_asked

    assert (refused.exit_code, again.exit_code) == (1, 1)
    assert "429" in document(refused)["refused"][0]["detail"]
    assert "try again after" in document(again)["refused"][0]["detail"]
