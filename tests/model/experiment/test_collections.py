"""What a file of collections may say, and the descriptors of public ones."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from model.errors import BadSetting
from model.experiment.collections import Wanted, describe, descriptors, read_evaluation
from model.registry import PRESETS
from scraper.importers.tables.columns import SYNONYMS
from scraper.settings import ImportConfig


def read(folder: Path, text: str, **more) -> tuple[Wanted, ...]:
    file = folder / "several.toml"
    file.write_text(text, encoding="utf-8")
    return read_evaluation(file, imports=ImportConfig, presets=list(PRESETS), **more)


ONE = '[[collection]]\nname = "one"\npath = "one.csv"\n'


def test_what_stands_above_is_each_collection_s_unless_it_says_otherwise(tmp_path: Path) -> None:
    one, two = read(
        tmp_path,
        'splits = ["time"]\nval = 0.2\n'
        + ONE
        + '[[collection]]\nname = "two"\npath = "/two.json"\nval = 0.3\nlabel_age = "7d"\n'
        + '[collection.import]\nformat = "actor"\ncolumns = { views = "plays" }\n',
    )

    assert (one.splits, one.val, one.holdout, one.label_age) == (("time",), 0.2, 0.2, None)
    assert (two.splits, two.val, two.label_age) == (("time",), 0.3, "7d")
    assert one.path == tmp_path / "one.csv", "a path is of the file's own folder"
    assert two.path == Path("/two.json")
    assert two.imports == ImportConfig(format="actor", columns={"views": "plays"})
    assert one.imports == ImportConfig()


def test_rivals_are_trained_too_and_come_last(tmp_path: Path) -> None:
    (one,) = read(tmp_path, 'models = ["median", "ridge"]\nagainst = ["median", "mean"]\n' + ONE)
    assert one.trained == ("ridge", "median", "mean")
    (default,) = read(tmp_path, ONE)
    assert default.trained[0] == "modern"
    assert {"author_mean", "median"} <= set(default.against) <= set(PRESETS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ONE + '[collection.import]\nformat = "cvs"\n', "line 5: collection.import.format: "),
        (ONE + 'import = { fromat = "table" }\n', "line 4: collection.import.fromat: there is no"),
        (ONE + 'splits = ["tmie"]\n', "line 4: collection.splits: input should be 'time', "),
        ('splits = ["tmie"]\n' + ONE, "line 1: collection.splits: "),
        (ONE + 'models = ["modren"]\n', "line 4: collection.models: 'modren' is no preset; there"),
        ("colour = 3\n" + ONE, "line 1: colour: there is no such key; there are splits, "),
        (ONE + ONE, "line 5: collection.name: 'one' names two collections"),
        (ONE + ONE.replace("path", "#"), "line 4: collection.path: is missing"),
        (ONE + 'label_age = "a week"\n', "line 4: collection.label_age: "),
        (ONE + "val = 0.9\n", "leave nothing to train on"),
        (ONE + 'models = ["ridge"]\nagainst = []\n', "compared with nothing"),
        (ONE + 'descriptor = "vein"\n', "line 4: collection.descriptor: there is no descriptor"),
        (ONE + '[collection.import]\ntimezone = "Mars"\n', "expected the like of Asia/Tokyo"),
        (ONE.replace('path = "', 'path = "\\u0000'), "line 3: collection.path: there is a zero"),
        ("", "names no collection"),
        ("= 3", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadSetting) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


def test_only_some_may_be_asked_for(tmp_path: Path) -> None:
    two = ONE + ONE.replace("one", "two")
    assert [found.name for found in read(tmp_path, two, only=["two"])] == ["two"]
    with pytest.raises(BadSetting, match="there are one, two"):
        read(tmp_path, two, only=["three"])


def test_a_descriptor_says_how_a_collection_is_imported(tmp_path: Path) -> None:
    (one,) = read(tmp_path, ONE + 'descriptor = "vine_10k"\n')
    assert (one.imports.platform, one.imports.format) == ("vine", "table")
    own = ONE + 'descriptor = "vine_10k"\nimport = { platform = "other" }\n'
    (one,) = read(tmp_path, own)
    assert (one.imports.platform, one.imports.format) == ("other", "table")


@pytest.mark.parametrize("name", descriptors())
def test_a_descriptor_is_whole_and_can_be_taken_into_a_file(tmp_path: Path, name: str) -> None:
    one = descriptors()[name]
    assert one.described_at
    assert one.has
    assert one.to_check, "nobody has seen all of it"
    imports = ImportConfig(**one.imports)
    assert imports.platform is not None
    assert set(imports.columns) <= set(SYNONYMS)

    shown = describe(name, one)
    taken = shown[shown.index("[[collection]]") :]
    (read_back,) = read(tmp_path, taken)
    assert read_back.imports == imports


def test_the_command_lists_them() -> None:
    listed = CliRunner().invoke(main, ["evaluate", "--list"])
    assert all(name in listed.output for name in descriptors())
    one = CliRunner().invoke(main, ["evaluate", "snapugc", "--list"])
    assert "ECR" in one.output
    assert CliRunner().invoke(main, ["evaluate", "nothing", "--list"]).exit_code == 2
    assert CliRunner().invoke(main, ["evaluate"]).exit_code == 2
