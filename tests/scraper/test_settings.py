import pytest
from pydantic import ValidationError

from scraper.settings import BrowserConfig, FetchConfig


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://127.0.0.1:3128",
        "https://me:word@proxy.example:443",
        "socks5://proxy.example:1080",
        "socks5h://[::1]:1080/",
    ],
)
def test_a_proxy_has_a_scheme_a_host_and_a_port(url):
    assert FetchConfig(proxy=url).proxy == url
    assert "word" not in repr(FetchConfig(proxy=url))


@pytest.mark.parametrize(
    "url",
    [
        "proxy.example:3128",
        "http://proxy.example",
        "http://:3128",
        "ftp://proxy.example:21",
        "http://proxy.example:0",
        "http://proxy.example:99999",
        "http://proxy.example:1/path",
        "http://proxy.example:1?x",
        "http://[::1:1",
        " ",
    ],
)
def test_what_is_no_proxy_is_refused(url):
    for section in (FetchConfig, BrowserConfig):
        with pytest.raises(ValidationError, match="a proxy's address that"):
            section(proxy=url)


def test_chromium_takes_no_user_of_a_proxy():
    with pytest.raises(ValidationError, match="Chromium takes none"):
        BrowserConfig(proxy="http://me:word@proxy.example:3128")


@pytest.mark.parametrize("tags", ["en", "en-US", "en-DE,de", "en-GB,zh-Hant-TW,fr"])
def test_a_visitor_reads_english_first(tags):
    assert BrowserConfig(language=tags).language == tags


@pytest.mark.parametrize("tags", ["de", "de,en", "", "en US", "en;q=1", "english", "en-"])
def test_what_is_no_english_visitors_language_is_refused(tags):
    with pytest.raises(ValidationError):
        BrowserConfig(language=tags)


@pytest.mark.parametrize("name", ["a\nb", "ü", "a\0"])
def test_what_no_header_can_hold_is_no_name(name):
    with pytest.raises(ValidationError):
        BrowserConfig(user_agent=name)


def test_there_are_two_back_ends():
    with pytest.raises(ValidationError, match="yt-dlp"):
        FetchConfig(backend="wget")
