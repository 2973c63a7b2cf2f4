"""Faults by which a page's script hurts the browser that runs it."""

from scraper.replica.edits import add_script
from scraper.replica.messages import Reply, Visit

# Runs ACTION at the AFTERth scroll: what came before has been listed, and could be read.
ON_SCROLL = """
(() => {
  let left = AFTER;
  const act = () => { ACTION };
  if (left <= 0) { act(); return; }
  addEventListener('scroll', () => { left -= 1; if (left <= 0) act(); }, {passive: true});
})();
"""
# An array longer than the engine's limit ends the whole renderer. In Chromium 156 it takes half a
# second and 130 MB; filling the heap would take all of the machine's memory first, and a page may
# not open chrome://crash.
CRASH = "'a'.repeat(2 ** 27 + 1).split('');"
STAY = (
    "addEventListener('beforeunload', (event) => "
    "{ event.preventDefault(); event.returnValue = 'Stay'; });"
)


def infinite_js(visit: Visit, *, after: int) -> Reply | None:
    """Never return from a script."""
    return _run(visit, "while (true) {}", after)


def alert(visit: Visit, *, after: int) -> Reply | None:
    """Open a dialog, which stops every other script until it is closed."""
    return _run(visit, "alert('Rate this page!');", after)


def beforeunload(visit: Visit) -> Reply | None:
    """Ask whether the visitor really wants to leave; WebDriver says yes by itself."""
    return _run(visit, STAY, 0)


def crash(visit: Visit, *, after: int) -> Reply | None:
    """End the process that draws the page."""
    return _run(visit, CRASH, after)


def _run(visit: Visit, action: str, after: int) -> Reply | None:
    if visit.place not in ("page", "video"):
        return None
    # A video's page is not scrolled: there it happens while the page loads.
    n_scrolls = after if visit.place == "page" else 0
    script = ON_SCROLL.replace("AFTER", str(n_scrolls)).replace("ACTION", action)
    return add_script(visit.usual(), script)
