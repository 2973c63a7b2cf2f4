"""The schema goes up and down on both databases, and is what tables and view files say."""

import re
import shutil
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    MetaData,
    create_engine,
    inspect,
    select,
    text,
)

from catalog.errors import CatalogError, NotReady, SchemaBehind
from catalog.schema import session
from catalog.schema.schema_check import is_ours, newest_views
from catalog.schema.session import make_engine
from tests.postgres_server import PostgresServer, start_server

# Altering a column makes SQLite build the table anew and drop the old one with its children.
NEXT = '''
"""Let captions be missing. Revises: 0007"""
import sqlalchemy as sa
from alembic import context, op

revision, down_revision = "9999", "0008"
branch_labels = depends_on = None


def change(nullable):
    views = context.script.get_revision("0008").module.VIEWS
    op.drop_views(views)
    with op.batch_alter_table("video") as batch:
        batch.alter_column("caption", existing_type=sa.Text(), nullable=nullable)
    op.make_views("9999", views)


def upgrade():
    change(True)


def downgrade():
    change(False)
'''


REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
DROPPED = {
    "feature_set": ("dim", "retired_at"),
    "run": ("retry_of_id",),
    "video": ("first_run_id",),
}
# What rules ask for; every other column gets the row's number, or what its type makes of it.
WORDS: dict[tuple[str, str], Any] = {
    ("account_observation", "source"): "dom",
    ("sound_observation", "source"): "dom",
    ("view_observation", "source"): "dom",
    ("video_hashtag", "found_by"): "caption",
    ("media_file", "status"): "leased",
    ("feature", "status"): "done",
    ("feature", "lease_owner"): None,
    ("feature_set", "kind"): "audio",
    ("split_member", "part"): "train",
    ("prediction", "part"): "train",
    ("run", "status"): "ok",
    ("event", "level"): "info",
    ("tombstone", "kind"): "video",
}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Run one server for these tests."""
    with start_server() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the address of a database without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'catalog.db'}"
        return
    running: PostgresServer = request.getfixturevalue("server")
    name = re.sub(r"\W", "_", request.node.name)[:60]
    yield running.create(name)
    running.drop(name)


@pytest.fixture
def next_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add a revision after the newest one."""
    folder = tmp_path / "migrations"
    shutil.copytree(session.migrations_folder(), folder)
    (folder / "versions" / "9999_next.py").write_text(NEXT)
    monkeypatch.setattr(session, "migrations_folder", lambda: folder)
    session.head.cache_clear()
    yield
    session.head.cache_clear()


def execute(url: str, *statements: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def our_tables(url: str) -> MetaData:
    engine = make_engine(url)
    found = MetaData()
    found.reflect(engine, only=lambda name, _: is_ours(name, "table") and name != "alembic_version")
    engine.dispose()
    return found


def fill(url: str) -> None:
    """Put two rows into every table, no column left out."""
    engine = create_engine(make_engine(url).url)  # keys unchecked: tables point at each other
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET session_replication_role = replica"))
        tables = our_tables(url).tables
        # Features last: whether their words are looked up hangs on their sets.
        for table in sorted(tables.values(), key=lambda table: table.name == "feature"):
            for n in (1, 2):
                row = {column.name: filled(column, n) for column in table.columns}
                connection.execute(table.insert().values(row))
    engine.dispose()


def filled(column: "Column[Any]", n: int) -> Any:
    kind = column.type
    if (column.table.name, column.name) in WORDS:
        return WORDS[column.table.name, column.name]
    if isinstance(kind, DateTime):
        return datetime(2026, 7, n, tzinfo=UTC)
    if isinstance(kind, JSON):
        return {"text": ["", "the fox", "the dog"][n]}
    by_type = {Boolean: bool, Integer: int, Double: float}
    return next((made for of, made in by_type.items() if isinstance(kind, of)), str)(n)


def contents(url: str) -> dict[str, list[dict[str, Any]]]:
    engine = make_engine(url)
    with engine.connect() as connection:
        found = {
            name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for name, table in our_tables(url).tables.items()
        }
    engine.dispose()
    return {name: sorted(rows, key=str) for name, rows in found.items()}


def without_dropped(table: str, row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in DROPPED.get(table, ())}


def searched(url: str) -> int:
    """Return how many transcripts say fox, by the view; words are looked up on SQLite as well."""
    if url.startswith("sqlite"):
        assert count(url, "transcript_search WHERE text MATCH 'fox'") == 1
    return count(url, "v_transcript WHERE text LIKE '%fox%'")


def view_texts(url: str) -> dict[str, str]:
    engine = make_engine(url)
    inspector = inspect(engine)
    found = {name: inspector.get_view_definition(name) for name in inspector.get_view_names()}
    engine.dispose()
    return found


def count(url: str, table: str) -> int:
    engine = make_engine(url)
    with engine.connect() as connection:
        n = connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar_one()
    engine.dispose()
    return n


def test_up_check_down_and_up_again(url):
    assert session.upgrade(url) == session.head()
    assert session.check(url) == []
    assert session.downgrade(url, "base") == "base"
    engine = create_engine(url)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    assert inspect(engine).get_view_names() == []
    engine.dispose()

    assert session.upgrade(url) == session.head()
    assert session.check(url) == []


def test_upgrading_twice_changes_nothing(url):
    session.upgrade(url)
    execute(url, "INSERT INTO topic (name) VALUES ('Dance')")
    assert session.upgrade(url) == session.head()
    assert count(url, "topic") == 1


def test_two_upgrades_at_once_make_one_schema(url):
    gate, made = threading.Barrier(2), []

    def upgrade() -> None:
        gate.wait()
        made.append(session.upgrade(url))

    threads = [threading.Thread(target=upgrade) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [session.head()] * 2
    assert session.check(url) == []


@pytest.mark.parametrize(
    ("statement", "difference"),
    [
        ("DROP INDEX ix_feature_open", "ix_feature_open"),
        ("ALTER TABLE video ADD COLUMN likes INTEGER", "likes"),
        ("CREATE TABLE other (id INTEGER)", "other"),
        ("DROP VIEW v_failure", "view missing: v_failure"),
        ("CREATE VIEW v_extra AS SELECT 1 AS one", "view too many: v_extra"),
    ],
)
def test_a_difference_is_named(url, statement, difference):
    session.upgrade(url)
    execute(url, statement)
    assert difference in "\n".join(session.check(url))


def test_a_view_that_was_edited_is_named(url):
    session.upgrade(url)
    sql = newest_views(session.migrations_folder() / "views")["v_video"]
    execute(url, "DROP VIEW v_video", sql.replace("o.views_k,", "o.views_k * 2 AS views_k,"))
    assert session.check(url) == ["view differs from its file: v_video"]


@pytest.mark.postgres
def test_a_missing_rule_is_named(server):
    url = server.create("rules")
    session.upgrade(url)
    execute(url, "ALTER TABLE view_observation DROP CONSTRAINT ck_view_observation_views_k_finite")
    assert session.check(url) == [
        "rule missing: view_observation.ck_view_observation_views_k_finite"
    ]
    server.drop("rules")


def test_an_older_schema_is_refused(url):
    with pytest.raises(SchemaBehind, match="viewcast db upgrade") as caught:
        session.open_catalog(url)
    assert caught.value.exit_code == 3
    session.upgrade(url)
    session.open_catalog(url).close()
    session.downgrade(url, "base")
    with pytest.raises(SchemaBehind, match="at schema none"):
        session.open_catalog(url)
    assert session.check(url) == [f"schema is at none, head is {session.head()}"]


def test_looking_makes_no_empty_file(tmp_path):
    path = tmp_path / "catalog.db"
    url = f"sqlite:///{path}"
    assert session.current(url) is None
    for look in (session.open_catalog, session.check):
        with pytest.raises(SchemaBehind, match="no catalog at"):
            look(url)
    with pytest.raises(NotReady, match="no catalog at"):
        session.downgrade(url, "base")
    assert not path.exists()


@pytest.mark.parametrize(
    "url", ["sqlite:///relative.db", "sqlite://", "mysql://localhost/x", "nonsense", "postgresql:"]
)
def test_an_address_that_cannot_work_is_refused(url):
    with pytest.raises(NotReady):
        session.open_catalog(url)


def test_a_server_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotReady, match="cannot open"):
        session.open_catalog(f"postgresql://postgres:secret@/x?host={tmp_path}")


def test_an_unknown_revision_is_refused(url):
    with pytest.raises(CatalogError, match="nowhere"):
        session.upgrade(url, "nowhere")


def test_altering_a_table_keeps_its_children(url, next_revision):
    session.upgrade(url, "0001")
    execute(
        url,
        "INSERT INTO hashtag (name) VALUES ('dance')",
        "INSERT INTO video (tiktok_id, platform, url, caption, first_seen_at)"
        " VALUES ('7', 'tiktok', 'u', 'c', '2026-07-01 00:00:00.000000')",
        "INSERT INTO video_hashtag (video_id, hashtag_id, found_by) VALUES (1, 1, 'caption')",
        "INSERT INTO view_observation (video_id, observed_at, display_text, source)"
        " VALUES (1, '2026-07-01 00:00:00.000000', '?', 'dom')",
        "UPDATE video SET latest_observation_id = 1",
    )
    tables = ("video", "video_hashtag", "view_observation")
    assert session.upgrade(url) == "9999"
    assert [count(url, table) for table in tables] == [1, 1, 1]
    assert session.downgrade(url, "0001") == "0001"
    assert [count(url, table) for table in tables] == [1, 1, 1]
    assert session.upgrade(url) == "9999"


def test_a_migration_that_fails_leaves_the_schema_as_it_was(url, next_revision):
    broken = session.migrations_folder() / "versions" / "9999_next.py"
    broken.write_text(
        NEXT.replace("    change(True)", "    change(True)\n    raise ValueError('no')")
    )
    session.upgrade(url, "0001")
    with pytest.raises(ValueError, match="no"):
        session.upgrade(url)
    assert session.current(url) == "0001"
    assert count(url, "v_video") == 0


def test_going_down_leaves_the_views_that_going_up_had_made(url):
    made = {}
    for revision in REVISIONS:
        session.upgrade(url, revision)
        made[revision] = view_texts(url)
    for revision in reversed(REVISIONS):
        session.downgrade(url, revision)
        assert view_texts(url) == made[revision]
    assert len(made["0001"]) == 10
    assert made["0003"].keys() - made["0001"].keys() == {
        "v_error_by_week", "v_rejected_row", "v_transcript", "v_view_growth",
    }  # fmt: skip


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_view_has_a_file_only_where_a_revision_changes_it(dialect):
    folder = session.migrations_folder() / "views"
    before: dict[str, str] = {}
    for revision in REVISIONS:
        now = newest_views(folder, dialect, revision)
        for file in [*(folder / revision).glob("*.sql"), *(folder / revision / dialect).glob("*")]:
            assert now[file.stem] != before.get(file.stem), file
        before = now


def test_a_view_is_its_newest_text_at_or_before_a_revision(tmp_path):
    for place, said in {
        "0001/v_a": "a1", "0001/v_b": "b1", "0001/postgresql/v_b": "pg b1",
        "0002/postgresql/v_a": "pg a2", "0002/search/postgresql/s": "s", "0003/v_b": "b3",
    }.items():  # fmt: skip
        file = (tmp_path / place).with_suffix(".sql")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(said)
    for at, on_sqlite, on_postgresql in (
        ("0001", "a1 b1", "a1 pg b1"),
        ("0002", "a1 b1", "pg a2 pg b1"),
        ("0003", "a1 b3", "pg a2 b3"),
        (None, "a1 b3", "pg a2 b3"),
    ):
        assert " ".join(newest_views(tmp_path, "sqlite", at).values()) == on_sqlite
        assert " ".join(newest_views(tmp_path, "postgresql", at).values()) == on_postgresql


def test_a_full_catalog_loses_no_row_to_0004_and_back(url):
    session.upgrade(url, "0003")
    fill(url)
    before = contents(url)
    assert [len(rows) for rows in before.values()] == [2] * 24
    for _twice in range(2):
        assert session.upgrade(url, "0004") == "0004"
        assert contents(url) == {
            name: [without_dropped(name, row) for row in rows] for name, rows in before.items()
        }
        assert searched(url) == 1
        assert session.downgrade(url, "0003") == "0003"
        emptied = {name: dict.fromkeys(columns) for name, columns in DROPPED.items()}
        assert contents(url) == {
            name: [row | emptied.get(name, {}) for row in rows] for name, rows in before.items()
        }
        assert searched(url) == 1


def test_a_full_catalog_loses_no_row_to_0005_and_back(url):
    session.upgrade(url, "0004")
    fill(url)
    before = contents(url)
    for _twice in range(2):
        assert session.upgrade(url, "0005") == "0005"
        after = contents(url)
        assert {name: [len(rows) for rows in (after[name], before[name])] for name in before} == {
            name: [2, 2] for name in before
        }
        for name, rows in before.items():
            assert [known(row, old) for row, old in zip(after[name], rows, strict=True)] == rows
        assert all(row["sound_id"] is None for row in after["video"])
        assert session.downgrade(url, "0004") == "0004"
        assert contents(url) == before


# As they were called; what no log is made of keeps its name.
LOG_NAMES = (
    "log_mae", "log_mae.low", "log_mae.train_mean", "log_mae_diff.train_mean.low", "r2_log",
    "interval_width_log",
)  # fmt: skip
OTHER_NAMES = ("mae_k", "mae_k.low", "spearman", "log_mae_other", "r2_logs", "coverage_80")
EXPLAINED = {"block": "meta", "log_mae": 0.5, "log_mae_interval": [0.25, 0.75], "spearman": 0.1}


def add_metrics(url: str, run_id: int, names: Iterable[str]) -> None:
    tables = our_tables(url).tables
    at = datetime(2026, 7, 1, tzinfo=UTC)
    engine = create_engine(make_engine(url).url)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET session_replication_role = replica"))
        for n, name in enumerate(names):
            row = {"run_id": run_id, "split": "val", "name": name, "step": -1, "value": n, "at": at}
            connection.execute(tables["run_metric"].insert().values(row))
        row = {"id": 10 + run_id, "at": at, "level": "info", "code": "importance", "subject": "m"}
        connection.execute(tables["event"].insert().values(**row, detail=EXPLAINED))
    engine.dispose()


def metrics(url: str, run_id: int) -> list[str]:
    stored = contents(url)["run_metric"]
    rows = [row for row in stored if (row["run_id"], row["split"]) == (run_id, "val")]
    return [row["name"] for row in sorted(rows, key=lambda row: row["value"])]


def explained(url: str, run_id: int) -> dict[str, Any]:
    [row] = [row for row in contents(url)["event"] if row["id"] == 10 + run_id]
    return dict(row["detail"])


def test_logs_of_thousands_and_of_views_keep_apart_through_0007_and_back(url):
    session.upgrade(url, "0006")
    fill(url)
    add_metrics(url, 1, (*LOG_NAMES, *OTHER_NAMES))
    before = contents(url)
    session.upgrade(url, "0007")
    renamed = [
        "log_mae_k", "log_mae_k.low", "log_mae_k.train_mean", "log_mae_k_diff.train_mean.low",
        "r2_log_k", "interval_width_log_k",
    ]  # fmt: skip
    assert metrics(url, 1) == [*renamed, *OTHER_NAMES]
    assert explained(url, 1) == {
        "block": "meta", "log_mae_k": 0.5, "log_mae_k_interval": [0.25, 0.75], "spearman": 0.1,
    }  # fmt: skip
    assert session.downgrade(url, "0006") == "0006"
    assert contents(url) == before
    session.upgrade(url, "0007")
    add_metrics(url, 2, (*LOG_NAMES, *OTHER_NAMES))
    execute(url, "UPDATE run SET kind = 'train'")
    now = contents(url)
    assert count(url, "v_run_leaderboard WHERE run_id = 1 AND log_mae IS NULL AND mae_k = 6") == 1
    assert count(url, "v_run_leaderboard WHERE run_id = 2 AND log_mae = 0 AND mae_k = 6") == 1
    for _twice in range(2):
        session.downgrade(url, "0006")
        assert metrics(url, 1) == [*LOG_NAMES, *OTHER_NAMES]
        resting = metrics(url, 2)
        assert not {*LOG_NAMES} & {*resting}
        assert "log_mae_views.train_mean" in resting
        session.upgrade(url, "0007")
        assert contents(url) == now


def test_the_rules_of_a_model_come_back_through_0007(url):
    session.upgrade(url, "0006")
    fill(url)
    session.upgrade(url, "0007")
    hyper = '{"network": {"as_of": "crawl", "history": "posted"}}'
    rules = "as_of = 'crawl', history_rule = 'posted'"
    execute(url, f"UPDATE model_version SET hyper = '{hyper}', {rules} WHERE id = 1")
    hyper = '{"network": {"as_of": "post", "history": "none"}}'
    rules = "as_of = 'post', history_rule = NULL"
    execute(url, f"UPDATE model_version SET hyper = '{hyper}', {rules} WHERE id = 2")
    now = contents(url)["model_version"]
    session.downgrade(url, "0006")
    session.upgrade(url, "0007")
    assert contents(url)["model_version"] == now


def test_what_a_model_forecasts_is_told_by_0008_and_comes_back_through_it(url):
    session.upgrade(url, "0006")
    fill(url)
    session.upgrade(url, "0007")
    split = "(SELECT split_id FROM model_version WHERE id = 1)"
    execute(url, "UPDATE model_version SET split_id = (SELECT MIN(id) FROM dataset_split)")
    hyper = '{"network": {"horizon_s": 86400}}'
    for params, network, told in (
        ('{"label_age_s": 129600.0}', "{}", ("from:36h", None)),
        ('{"strategy": "time"}', "{}", ("latest", None)),
        ('{"strategy": "time"}', hyper, ("latest", 86_400)),
        ('{"label": "at:7d"}', '{"network": {"horizon_s": 0}}', ("at:7d", 604_800)),
    ):
        execute(url, f"UPDATE dataset_split SET params = '{params}' WHERE id = {split}")
        execute(url, f"UPDATE model_version SET hyper = '{network}'")
        for _twice in range(2):
            session.upgrade(url, "0008")
            rows = contents(url)["model_version"]
            assert {(row["label"], row["horizon_s"]) for row in rows} == {told}
            session.downgrade(url, "0007")


def known(row: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name in old}


def test_a_revision_imports_none_of_our_code():
    files = list((session.migrations_folder() / "versions").glob("0*.py"))
    assert len(files) >= 3
    for file in files:
        source = file.read_text("utf-8")
        assert not re.search(r"^\s*(from|import) (catalog|features|model|scraper)\b", source, re.M)
