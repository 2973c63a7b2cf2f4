import os
import signal
import threading

import pytest
from sqlalchemy import text

from catalog.stopping import stop_for, unbroken
from tests.fresh_catalog import ask


@pytest.fixture(autouse=True)
def _on_signal():
    before = signal.signal(signal.SIGUSR1, lambda *_: stop_for(SystemExit(7)))
    yield
    signal.signal(signal.SIGUSR1, before)


def strike():
    os.kill(os.getpid(), signal.SIGUSR1)


def ended(work, done):
    """Do it until the signal ends it; return what had been done by then."""
    with pytest.raises(SystemExit) as raised:
        work(done)
    assert raised.value.code == 7
    return done


def test_it_ends_at_once_what_may_be_broken_off():
    def work(done):
        strike()
        done.append("went on")

    assert ended(work, []) == []


def test_an_unbroken_block_is_done_first_and_the_outermost_ends_it():
    def work(done):
        with unbroken():
            with unbroken():
                strike()
                done.append("inner")
            done.append("outer")
        done.append("went on")

    assert ended(work, []) == ["inner", "outer"]
    with unbroken():
        pass  # nothing is left over


def test_what_fails_in_the_block_does_not_hide_that_it_is_to_end():
    def work(_done):
        with unbroken():
            strike()
            raise ValueError("the block's own")

    ended(work, [])


def test_another_thread_is_not_told():
    def work(done):
        with unbroken():
            strike()
            with_own = threading.Thread(target=in_thread, args=(done,))
            with_own.start()
            with_own.join()

    def in_thread(done):
        with unbroken():
            done.append("block")
        done.append("after it")

    assert ended(work, []) == ["block", "after it"]


def test_a_write_is_committed_before_it_ends(catalog):
    def work(done):
        with catalog.write() as session:
            two = text("INSERT INTO topic (name) VALUES ('a'), ('b') RETURNING id")
            rows = session.execute(two)
            strike()  # the statement is only half read
            done += rows.all()

    assert len(ended(work, [])) == 2
    assert ask(catalog, "SELECT count(*) FROM topic") == [(2,)]
    with catalog.write() as session:  # and the next one is not refused
        session.execute(text("INSERT INTO topic (name) VALUES ('c')"))
