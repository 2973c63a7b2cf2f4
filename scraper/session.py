"""Connect to a driver and set up the browser behind it, with every failure under one name."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.remote_connection import ChromeRemoteConnection
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.webdriver import WebDriver
from urllib3.exceptions import HTTPError as DriverUnreachable

from scraper.capture import HOOK
from scraper.chromium import USER_DATA, Driver, find_program
from scraper.errors import BrowserFailed, PageTimeout, ScrapeError
from scraper.politeness import Site

SWITCHES = (
    "--headless=new",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-default-apps",
    "--mute-audio",
    "--lang=en-US",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    # Pictures are not looked at, and half of the site's bytes.
    "--blink-settings=imagesEnabled=false",
)
# The browser reads pages; files are fetched by `download`, once, and checked.
BLOCKED_URLS = ("*/video/tos/*", "*.mp4*", "*/obj/cover/*", "*/obj/avatar/*")


@dataclass(frozen=True)
class SessionConfig:
    """Bounds for one page and one script in it, and for what the driver may take for anything."""

    window_px: tuple[int, int] = (1366, 900)
    page_s: float = 30.0
    script_s: float = 15.0
    command_s: float = 40.0


@contextmanager
def connect(driver: Driver, config: SessionConfig, site: Site, key: str) -> Iterator[WebDriver]:
    """Open a session; key is the name under which the hook answers in a page.

    Only the connection is closed at the end: the browser is ended by who started the driver.
    """
    # Without retries: a driver that hangs would be waited for four times over.
    once = {"init_args_for_pool_manager": {"retries": False}}
    connection = ChromeRemoteConnection(
        driver.url,
        client_config=ClientConfig(
            driver.url,
            proxy=Proxy(raw={"proxyType": ProxyType.DIRECT}),
            init_args_for_pool_manager=once,
            timeout=cast(int, config.command_s),  # urllib3 takes fractions as well
        ),
    )
    try:
        session = WebDriver(
            command_executor=connection, options=_options(config, site, driver.profile)
        )
        session.set_page_load_timeout(config.page_s)
        session.set_script_timeout(config.script_s)
        hook = HOOK.replace("KEY", f"'{key}'")
        _devtools(session, "Page.addScriptToEvaluateOnNewDocument", source=hook)
        _devtools(session, "Browser.setDownloadBehavior", behavior="deny")
        _devtools(session, "Network.enable")
        _devtools(session, "Network.setBlockedURLs", urls=list(BLOCKED_URLS))
        yield session
    finally:
        connection.close()  # type: ignore[no-untyped-call]  # Selenium has no types here


@contextmanager
def driver_errors(doing: str) -> Iterator[None]:
    """Turn what Selenium and its connection raise into PageTimeout or BrowserFailed."""
    try:
        yield
    except ScrapeError:
        raise
    except TimeoutException as error:
        raise PageTimeout(f"{doing}: {_first_line(error)}") from error
    except (WebDriverException, DriverUnreachable, OSError) as error:
        raise BrowserFailed(f"{doing}: {_first_line(error)}") from error


def drain_log(session: WebDriver) -> list[str]:
    """Return what the browser has noted of its network since the last time, and forget it."""
    found = session.execute("getLog", {"type": "performance"}).get("value")
    return [str(entry.get("message")) for entry in found or ()]


def document_header(log_entries: Iterable[str], name: str) -> str:
    """Find a header of the last page opened; empty where it has none. name: lower case."""
    value = ""
    for text in log_entries:
        if '"Network.responseReceived"' not in text:
            continue
        params = json.loads(text)["message"]["params"]
        if params.get("type") == "Document":
            headers = params["response"]["headers"]
            value = next((str(v) for k, v in headers.items() if k.lower() == name), "")
    return value


def _options(config: SessionConfig, site: Site, profile: Path) -> Options:
    options = Options()
    options.binary_location = find_program("chromium")
    options.page_load_strategy = "eager"
    # A dialog stops everything until somebody says no.
    options.unhandled_prompt_behavior = "dismiss"
    for switch in SWITCHES:
        options.add_argument(switch)
    width_px, height_px = config.window_px
    options.add_argument(f"--window-size={width_px},{height_px}")
    options.add_argument(f"{USER_DATA}={profile / 'u'}")
    # The one place where the headers of a page itself can be read.
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    options.add_experimental_option(
        "perfLoggingPrefs", {"enableNetwork": True, "enablePage": False}
    )
    if os.geteuid() == 0:
        # Chromium's sandbox does not work for root; anybody else keeps it.
        options.add_argument("--no-sandbox")
    if site.is_loopback:
        # Not even a name is looked up: a test that reached the world would be a bug.
        options.add_argument(f"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE {site.host}")
    return options


def _devtools(session: WebDriver, command: str, **params: Any) -> None:
    session.execute("executeCdpCommand", {"cmd": command, "params": params})


def _first_line(error: Exception) -> str:
    text = getattr(error, "msg", None) or str(error)
    return str(text).strip().partition("\n")[0][:300]
