"""Pieces that another process makes: they come whole and in order, and nothing that ends it ends this one."""

import faulthandler
import os
import resource
import signal
import sys
from functools import partial

import pytest

from lens.errors import ConfigError, FileError
from lens.export import isolated
from lens.export.formats import why_incomplete
from lens.export.isolated import isolated_pieces, memory_is_limited

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
EXPLAIN = partial(why_incomplete, name="mine")


def raised(error):
    yield b"the beginning"
    raise error


def killed(number):
    yield b"the beginning"
    faulthandler.disable()
    os.kill(os.getpid(), number)
    yield b"never"


def pieces(made):
    return list(isolated_pieces(lambda: made, EXPLAIN))


@pytest.mark.parametrize("made", [[], [b""], [b"a", b"", b"bc" * 500_000, b"d"]])
def test_pieces_come_as_they_were_made(made):
    assert pieces(iter(made)) == made


def test_they_are_made_by_another_process_and_its_standard_error_is_not_shown(capfd):
    def made():
        os.write(2, b"an allocator complains")
        yield str(os.getpid()).encode()

    assert pieces(made()) != [str(os.getpid()).encode()]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_signal_that_ends_it_is_a_lack_of_memory(number):
    with pytest.raises(MemoryError):
        pieces(killed(number))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "no memory is left to make the outputs"),
        (ImportError("libx.so: failed to map segment from shared object"), "no memory is left to make the outputs"),
        (ConfigError("--export parquet needs pyarrow"), "--export parquet needs pyarrow"),
        (ValueError("of a library"), "the mine output cannot be made: ValueError: of a library"),
    ],
)
def test_an_exception_comes_in_words(error, says):
    with pytest.raises(FileError, match=says):
        pieces(raised(error))


def test_one_that_loops_is_ended_by_the_time_that_it_takes(monkeypatch):
    monkeypatch.setattr(isolated, "PIECE_CPU_S", 0)  # the kernel counts whole seconds: the next one ends it

    def loops():
        yield b"the beginning"
        while True:
            pass

    with pytest.raises(MemoryError):
        pieces(loops())


def test_one_whose_pieces_are_not_wanted_is_ended():
    def endless():
        while True:
            yield str(os.getpid()).encode()

    made = isolated_pieces(endless, EXPLAIN)
    child = int(next(made))
    made.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_where_no_process_can_be_made_there_is_no_memory(monkeypatch):
    def refused():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    with pytest.raises(MemoryError):
        pieces(iter([b"a"]))


@pytest.mark.parametrize(
    ("limit", "kernel", "limited"),
    [(resource.RLIM_INFINITY, "0\n", False), (4 << 30, "1\n", True), (resource.RLIM_INFINITY, "2\n", True)],
)
def test_memory_is_limited_by_a_limit_or_by_a_kernel_that_promises_none(monkeypatch, tmp_path, limit, kernel, limited):
    (tmp_path / "overcommit").write_text(kernel)
    monkeypatch.setattr(isolated, "OVERCOMMIT", tmp_path / "overcommit")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, resource.RLIM_INFINITY))
    assert memory_is_limited() is limited


def test_a_kernel_that_does_not_say_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(isolated, "OVERCOMMIT", tmp_path / "none")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert memory_is_limited() is False
