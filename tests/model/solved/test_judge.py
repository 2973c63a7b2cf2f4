import csv
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from catalog.facts import PostFacts
from catalog.schema.session import upgrade
from cli import main
from model.batches import Example, collate
from model.errors import BadSetting, JudgeFailed, JudgeUnreachable, NothingToTrain
from model.settings import JudgeSettings
from model.solved.asking import Ask
from model.solved.judge import (
    LEAST_ANSWERS,
    MOST_BEFORE_THE_FIRST,
    Asking,
    JudgeConfig,
    asking_now,
    judging,
    sample_step,
    solve_judge,
)
from tests.model.judges import chat, chat_server, program, said_of
from tests.model.rows import START
from tests.model.solving import Solving, rebuilt, scored


@pytest.fixture
def server():
    with chat_server() as found:
        yield found


def post(video_id: int) -> Example:
    word = "cat" if video_id % 2 else "dog"
    facts = PostFacts(caption=f"{word} number {video_id} {'!' * (video_id % 5)}", author=video_id)
    return Example(video_id, facts=facts, views_k=float(np.exp(5 * (video_id % 2) + video_id % 3)))


TRAIN = [post(i) for i in range(1, 61)]


def settings_of(server, **more) -> JudgeSettings:
    return JudgeSettings(url=server.url, model="m", retries=0, **more)


def solved(settings, train=TRAIN, solving=None):
    solving = solving or Solving(list(train))
    return solve_judge(JudgeConfig(settings.identity), solving.request())


def test_its_answers_are_put_on_the_scale_of_views(server):
    settings = settings_of(server)
    solving = Solving(TRAIN)
    with judging(settings):
        network = solved(settings, solving=solving)
        new = [post(i) for i in range(100, 120)]
        said = scored(network, new)["point"]
    cats, dogs = said[1::2], said[::2]
    assert cats.min() > 0 > dogs.max()  # on a standardised scale
    judged = np.array([said_of({"caption": row.facts.caption}) for row in new])
    order = np.argsort(judged, kind="stable")
    assert (np.diff(said[order]) >= 0).all()  # the judge's order stays
    note = solving.notes["judge_asked"]
    assert (note["n_calls"], note["n_answers"], note["failed"]) == (60, 60, 0)


def test_each_post_is_asked_of_once(server):
    settings = settings_of(server)
    with judging(settings):
        network = solved(settings)
        assert len(server.requests) == 60
        first, again = (scored(network, TRAIN)["point"] for _ in range(2))
    assert len(server.requests) == 60
    assert np.array_equal(first, again)


def test_it_is_a_model_of_config_and_tensors(server):
    settings = settings_of(server)
    with judging(settings):
        network = solved(settings)
        said = scored(network, TRAIN)["point"]
        assert np.array_equal(scored(rebuilt(network), TRAIN)["point"], said)


def test_answers_that_go_the_wrong_way_are_worth_nothing(server):
    server.reply = lambda one: chat(json.dumps({"views": 100_000 - said_of(one)}))
    settings = settings_of(server)
    with judging(settings):
        said = scored(solved(settings), TRAIN)["point"]
    assert np.ptp(said) == 0
    assert said[0] == pytest.approx(0, abs=1e-12)


def test_the_same_answer_for_all_is_the_mean_of_all(server):
    server.reply = lambda _: chat("5")
    settings = settings_of(server)
    with judging(settings):
        said = scored(solved(settings), TRAIN)["point"]
    assert said == pytest.approx(np.zeros(60), abs=1e-12)


@pytest.mark.parametrize(("n", "at_most", "n_asked"), [(60, 20, 20), (61, 20, 16), (5, 20, 5)])
def test_only_a_sample_of_the_training_rows_is_asked_of(n, at_most, n_asked):
    step = sample_step(n, at_most)
    assert len(range(0, n, step)) == n_asked <= at_most


def test_a_failed_row_of_the_sample_is_left_out(server):
    reply = server.reply
    server.reply = lambda one: chat("no idea") if "!!!!" in one["caption"] else reply(one)
    settings = settings_of(server)
    solving = Solving(TRAIN)
    with judging(settings):
        network = solved(settings, solving=solving)
        assert solving.notes["judge_asked"]["failed"] == 12
        assert solving.notes["judge_asked"]["n_answers"] == 48
        failed = next(row for row in TRAIN if "!!!!" in row.facts.caption)
        with pytest.raises(JudgeFailed, match=f"video {failed.video_id}"):
            network(collate([failed], network.shapes))
    assert len(server.requests) == 60  # nobody is asked again what had no answer


def test_with_too_few_answers_nothing_is_learned(server):
    settings = settings_of(server)
    with judging(settings), pytest.raises(NothingToTrain, match=f"{LEAST_ANSWERS - 1} answers"):
        solved(settings, TRAIN[: LEAST_ANSWERS - 1])


class Mute(Ask):
    def __call__(self, _asked):
        self.n_calls += 1
        raise JudgeFailed("it says nothing")


def test_a_judge_that_never_answers_is_not_asked_for_ever():
    settings = JudgeSettings(command=("x",))
    asking = Asking(settings, Mute(settings))
    for i in range(1, MOST_BEFORE_THE_FIRST):
        with pytest.raises(JudgeFailed, match="it says nothing"):
            asking.answer(PostFacts(caption=str(i)), "one")
    with pytest.raises(JudgeUnreachable, match="none of the first 10 posts"):
        asking.answer(PostFacts(caption="0"), "one")
    assert asking.counts() == {
        "n_posts": MOST_BEFORE_THE_FIRST - 1,
        "n_calls": MOST_BEFORE_THE_FIRST,
        "failed": MOST_BEFORE_THE_FIRST,
    }


def test_many_posts_without_an_answer_are_left_to_the_run(server):
    settings = settings_of(server)
    with judging(settings):
        asking = asking_now(settings.identity)
        asking.answer(PostFacts(caption="a cat"), "one")
        server.reply = lambda _: chat("no")
        for i in range(2 * MOST_BEFORE_THE_FIRST):
            with pytest.raises(JudgeFailed):
                asking.answer(PostFacts(caption=f"{i}"), "one")


def test_nobody_is_called_outside_of_a_run_that_allows_it(server):
    settings = settings_of(server)
    with judging(settings):
        network = solved(settings)
    n_before = len(server.requests)
    with pytest.raises(BadSetting, match="the judge is off"):
        network(collate([post(200)], network.shapes))
    with judging(JudgeSettings()), pytest.raises(BadSetting, match="the judge is off"):
        network(collate([post(200)], network.shapes))
    other = replace(settings, model="another")
    with judging(other), pytest.raises(BadSetting, match="another"):
        network(collate([post(200)], network.shapes))
    assert len(server.requests) == n_before


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"url": "http://x/v1", "command": ("x",), "model": "m"}, "there is one judge"),
        ({"url": "http://x/v1"}, "judge.model"),
        ({"url": "x/v1", "model": "m"}, "https://host/v1"),
        ({"url": "ftp://x/v1", "model": "m"}, "https://host/v1"),
        ({"url": "https://u:p@x/v1", "model": "m"}, "no user, password"),
        ({"url": "https://x/v1?key=1", "model": "m"}, "no user, password"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given, why):
    with pytest.raises(ValueError, match=why):
        JudgeSettings(**given)


# From here on by the commands, on a catalog.


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with 120 posts of a table and their split."""
    folder = tmp_path / "data"
    folder.mkdir()
    upgrade(f"sqlite:///{folder / 'catalog.db'}")
    file = tmp_path / "posts.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["id", "author", "desc", "create_time", "play_count"])
        for i in range(120):
            row = post(i)
            at = START + timedelta(hours=i)
            video = (int(at.timestamp()) << 32) + i + 1  # as the site makes them
            views = round(1000 * row.views_k) + i
            table.writerow([video, f"maker{i % 9}", row.facts.caption, at.isoformat(), views])
    for words in (("import", str(file)), ("split", "create")):
        result = viewcast(folder, *words)
        assert result.exit_code == 0, result.output
    return folder


def viewcast(data: Path, *words: str, **environment: str):
    return CliRunner().invoke(main, ["--data", str(data), *words], env=environment)


def by_url(server, **more: str) -> dict[str, str]:
    return {
        "VIEWCAST_JUDGE__URL": server.url,
        "VIEWCAST_JUDGE__MODEL": "m",
        "VIEWCAST_JUDGE__RETRIES": "0",
        **more,
    }


def payload(result) -> dict:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def asked_sql(data: Path, statement: str) -> list[dict]:
    return payload(viewcast(data, "sql", statement, "--json"))["rows"]


def test_a_judge_is_a_row_of_compare_like_any_model(data, server):
    on = by_url(server, VIEWCAST_JUDGE__TRAIN_CALLS="30", JUDGE_API_KEY="sk-secret")
    dry = payload(viewcast(data, "train", "judge", "--dry-run", "--json", **on))
    assert (dry["judge_questions"], dry["asked"]) == (28, server.url)
    assert not server.requests

    assert viewcast(data, "train", "judge", **on).exit_code == 0
    assert len(server.requests) == 28
    dry = payload(
        viewcast(
            data, "score", "--model", "judge", "--part", "holdout", "--dry-run", "--json", **on
        )
    )
    n_held_out = dry["judge_questions"]
    assert len(server.requests) == 28
    result = viewcast(data, "score", "--model", "judge", "--part", "holdout", **on)
    assert result.exit_code == 0, result.output
    assert len(server.requests) == 28 + n_held_out
    assert not any("maker" in json.dumps(one) for one in server.posts())

    for words in (("train", "median"), ("score", "--model", "median", "--part", "holdout")):
        assert viewcast(data, *words).exit_code == 0
    table = payload(viewcast(data, "compare", "judge", "median", "--json"))
    assert table["n"] == n_held_out
    assert table["metrics"]["judge:1"]["spearman"] > 0.5

    notes = asked_sql(data, "select detail from event where code = 'judge_asked' order by id")
    assert [json.loads(row["detail"])["n_calls"] for row in notes] == [28, n_held_out]
    everything = b"".join(file.read_bytes() for file in data.rglob("*") if file.is_file())
    assert b"sk-secret" not in everything


def test_a_failed_answer_costs_its_row(data, server):
    on = by_url(server)
    assert viewcast(data, "train", "judge", **on).exit_code == 0
    reply = server.reply
    server.reply = lambda one: chat("hm") if "!!!!" in one["caption"] else reply(one)
    result = viewcast(data, "score", "--model", "judge", "--json", "--part", "holdout", **on)
    outcome = json.loads(result.stdout)
    assert set(outcome["codes"]) == {"judge_failed"}
    assert outcome["n_done"] > outcome["n_failed"] > 0


def test_an_endpoint_that_is_not_there_ends_the_run_and_a_later_one_goes_on(data, server):
    on = by_url(server)
    assert viewcast(data, "train", "judge", **on).exit_code == 0
    server.reply = lambda _: (401, {}, b"")
    result = viewcast(data, "score", "--model", "judge", **on)
    assert result.exit_code == 1
    assert (
        "status 401; the key is read from the environment variable JUDGE_API_KEY" in result.output
    )
    assert "Traceback" not in result.output
    assert asked_sql(data, "select count(*) as n from prediction") == [{"n": 0}]


def test_a_program_judges_as_well(data, tmp_path):
    body = (
        "import json\npost = json.loads(asked.strip().splitlines()[-1])\n"
        "print(json.dumps({'score': 90 if 'cat' in post['caption'] else 10}))"
    )
    on = {
        "VIEWCAST_JUDGE__COMMAND": json.dumps(program(tmp_path, body)),
        "VIEWCAST_JUDGE__ANSWER": "score",
        "VIEWCAST_JUDGE__TRAIN_CALLS": "12",
    }
    assert viewcast(data, "train", "judge", **on).exit_code == 0
    assert viewcast(data, "score", "--model", "judge", "--part", "holdout", **on).exit_code == 0
    (row,) = asked_sql(data, "select count(distinct predicted_k) as n from prediction")
    assert row["n"] == 2


def test_it_is_off_until_somebody_says_whom_to_ask(data, server):
    for words in (("train", "judge"), ("train", "judge", "--dry-run")):
        result = viewcast(data, *words)
        assert result.exit_code == 2
        assert "the judge is off: set judge.url" in result.output
    assert viewcast(data, "train", "judge", **by_url(server)).exit_code == 0
    n_before = len(server.requests)
    result = viewcast(data, "score", "--model", "judge")
    assert result.exit_code == 2
    assert "the judge is off" in result.output
    assert len(server.requests) == n_before


def test_another_judge_is_another_training(data, server):
    for model in ("m", "m", "other"):
        on = by_url(server, VIEWCAST_JUDGE__MODEL=model)
        assert viewcast(data, "train", "judge", **on).exit_code == 0
    assert asked_sql(data, "select count(*) as n from model_version") == [{"n": 2}]
