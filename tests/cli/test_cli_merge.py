"""`lll merge`: files in, one run out, and what a person is told."""

import msgspec
import pytest
from click.testing import CliRunner
from handmade import INFO, record

from lens.cli.commands.merge import command
from lens.clocks import WallClock
from lens.errors import ConfigError
from lens.history.read import read_run
from lens.history.write import write_run
from lens.model import Status

CLOCK = WallClock(offset_ns=0, boot_id="one", synchronized=True, max_error_ns=0)


@pytest.fixture
def files(tmp_path):
    def make(*records):
        names = []
        for number, one in enumerate(records):
            config = {"load": {"shard": f"{number}/{len(records)}"}}
            info = msgspec.structs.replace(
                INFO, run_id=str(number), config=config, wall_clock=CLOCK, ended_ns=INFO.started_ns + 10**9
            )
            names.append(str(tmp_path / f"{number}.jsonl"))
            write_run(tmp_path / f"{number}.jsonl", info, [msgspec.structs.replace(one, index=number)], force=True)
        return names

    return make


def test_runs_become_one_file(files, tmp_path):
    done = CliRunner().invoke(command, [*files(record(), record()), "-o", str(tmp_path / "all")], standalone_mode=False)
    assert done.return_value == 0
    assert done.stdout.splitlines() == [
        "merged       2 runs, 2 requests; one clock",
        f"written      {tmp_path / 'all'}",
    ]
    assert [one.index for one in read_run(tmp_path / "all").records] == [0, 1]


def test_a_run_without_a_success_says_so_by_its_exit_code(files, tmp_path):
    failed = record(status=Status.SERVER_ERROR, category="server_error")
    done = CliRunner().invoke(command, [*files(failed, failed), "-o", str(tmp_path / "all")], standalone_mode=False)
    assert done.return_value == 1


def test_what_cannot_be_one_run_is_an_error_of_its_caller(files, tmp_path):
    names = files(record(), record(), record())
    with pytest.raises(ConfigError, match="shard 1/3 is missing"):
        CliRunner().invoke(
            command, [names[0], names[2], "-o", str(tmp_path / "all")], standalone_mode=False, catch_exceptions=False
        )
    words = [names[0], names[2], "-o", str(tmp_path / "all"), "--partial"]
    done = CliRunner().invoke(command, words, standalone_mode=False)
    assert done.return_value == 0
    assert "lll: shard 1/3 is missing" in done.stderr
