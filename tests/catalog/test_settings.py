"""Settings: the four sources, their order, and what a wrong value says."""

from pathlib import Path

import pytest

from catalog.errors import BadSettings, masked_url
from catalog.settings import Settings, leaves, load_settings
from cli import sections
from features.settings import AudioConfig, ClipConfig, ExtractConfig, FramesConfig, VisualConfig
from model.settings import PretrainConfig, ScoreConfig, TrainConfig


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "viewcast.toml"
    file.write_text('data = "from-file"\n[extract]\nworkers = 3\nbatch = 5\n', encoding="utf-8")
    return file


def test_without_any_source_the_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    loaded = load_settings(None, {}, sections())

    assert loaded.settings.of(ClipConfig) == ClipConfig()
    assert loaded.settings.db_url == f"sqlite:///{tmp_path / 'data' / 'catalog.db'}"
    assert set(loaded.origins.values()) == {"default"}


def test_a_flag_beats_the_environment_and_the_environment_beats_the_file(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIEWCAST_EXTRACT__WORKERS", "7")
    monkeypatch.setenv("VIEWCAST_DATA", "from-environment")

    loaded = load_settings(None, {"data": Path("from-flag")}, sections())

    assert loaded.settings.data == Path("from-flag")
    # The file's section is merged, not replaced.
    assert loaded.settings.of(ExtractConfig) == ExtractConfig(workers=7, batch=5)
    assert loaded.origins["data"] == "flag"
    assert loaded.origins["extract.workers"] == "environment"
    assert loaded.origins["extract.batch"] == "viewcast.toml"
    assert loaded.origins["scrape.limit"] == "default"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[extract]\nworkers = -1\n", "extract.workers"),
        ("[extract]\nworkesr = 1\n", "extract.workesr"),
        ("[extract]\nworkesr = 1\n", "there is no such setting; there are workers, batch"),
        ('[nightly]\nat = "04:30"\n', "it is daemon.nightly now, a cron expression"),
        ("nonsense = 1\n", "there is no such setting; there are data, db, "),
        ("extract = 1\n", "extract"),
        ("[clip]\nsampling = 'now'\n", "'seconds', 'uniform' or 'moments', got 'now'"),
        ("[clip]\nstart_s = 5.0\nstop_s = 2.0\n", "stop_s is 2.0, it must be above start_s 5.0"),
        (
            "[clip]\nevery_s = inf\n",
            "every_s (viewcast.toml): Input should be a finite number",
        ),
        ("[split]\nval = 0.6\nholdout = 0.6\n", "something to train on"),
        ("device = 'tpu'\n", "auto|cpu|cuda"),
        ("[frames]\ndevice = 'gpu'\n", "frames.device"),
        ("[extract\n", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(toml: Path, text: str, named: str) -> None:
    toml.write_text(text, encoding="utf-8")

    with pytest.raises(BadSettings, match=r"viewcast\.toml") as caught:
        load_settings(None, {}, sections())

    assert named in str(caught.value)


def test_a_settings_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"nowhere\.toml does not exist"):
        load_settings(tmp_path / "nowhere.toml", {})


def test_a_secret_is_not_printed() -> None:
    settings = Settings.model_validate({"author_salt": "hunter2"})

    assert "hunter2" not in str(dict(leaves(settings.model_dump())))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@host/name", "postgresql://me:***@host/name"),
        ("postgresql://me@host/name", "postgresql://me@host/name"),
        ("socks5://me:hunter2@host:1080", "socks5://me:***@host:1080"),
        ("http://me:hun@ter2@host:1", "http://me:***@host:1"),
        ("postgresql://h/n?user=me&password=hunter2", "postgresql://h/n?user=me&password=***"),
        ("postgresql://h/n?sslpassword=hunter2&a=b", "postgresql://h/n?sslpassword=***&a=b"),
        ("sqlite:////abs/catalog.db", "sqlite:////abs/catalog.db"),
        ("", ""),
        ("socks5://key@h:1", "socks5://***@h:1"),
        ("http://h:1", "http://h:1"),
    ],
)
def test_a_password_in_the_database_url_is_masked(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_a_stages_device_is_that_of_all_unless_it_has_its_own(toml: Path) -> None:
    toml.write_text('device = "cuda"\n[audio]\ndevice = "cpu"\n[score]\ndevice = "cuda:1"\n')
    loaded = load_settings(None, {}, sections())

    def device(section: type) -> str:
        return str(loaded.settings.of(section).device)

    for section in (VisualConfig, FramesConfig, PretrainConfig, TrainConfig):
        assert device(section) == "cuda"
    assert (device(AudioConfig), device(ScoreConfig)) == ("cpu", "cuda:1")
    # What is printed is what was set.
    assert dict(leaves(loaded.settings.model_dump()))["frames.device"] == ""


def test_each_section_has_a_class_of_its_own() -> None:
    classes = list(sections().values())
    assert len(set(classes)) == len(classes)
    with pytest.raises(LookupError, match="ClipConfig is none of the sections"):
        load_settings(None, {}).settings.of(ClipConfig)
