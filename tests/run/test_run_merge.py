"""Several run files as one run: four shards keep the schedule of one run, figures are those of all."""

import shutil
import time
from functools import partial

import msgspec
import pytest
import trio
from handmade import INFO, record

from lens.clocks import WallClock
from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.errors import ConfigError, FileError
from lens.history.read import read_run
from lens.history.write import write_run
from lens.metrics.builder import read_table, read_tables
from lens.metrics.summarize import summarize
from lens.model import Attempt, Connection, Machine, Stamps, Status, Try
from lens.run import driver
from lens.run.merge import merge_runs
from lens.simulator import make_script, start

SHARDS = 4
S = 1_000_000_000
MS = 1_000_000
ATTEMPT = Attempt(address="x", family="ipv4", start_ns=7 * S, end_ns=8 * S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four shards that ran at once, and the same load as one run."""
    found = tmp_path_factory.mktemp("shards")
    with start(make_script(ttft="3ms", itl="1ms", tokens=4, usage="always")) as server:
        config = RunConfig(
            targets=(TargetConfig(provider="vllm", model="m", base_url=f"{server.url}/v1", proxy=""),),
            prompts=PromptConfig(texts=("a", "b c", "d e f"), order="random"),
        )
        load = LoadConfig(rate_per_s=150, arrival="poisson", iterations=42, seed=9)

        async def one(name, **parts):
            options = driver.RunOptions(output=str(found / name))
            output = msgspec.convert({"exports": [{"format": "jsonl"}]}, type(config.output))
            changed = msgspec.structs.replace(load, **parts)
            await driver.run(msgspec.structs.replace(config, load=changed, output=output), options=options)

        async def all_of_them():
            at = f"@{time.time() + 2:.6f}"
            async with trio.open_nursery() as nursery:
                for number in range(SHARDS):
                    name, shard = f"run-{number}.jsonl", f"{number}/{SHARDS}"
                    nursery.start_soon(partial(one, name, shard=shard, start_at=at))

        trio.run(partial(one, "one.jsonl", start_at="+50ms"))  # and all that the others need is loaded
        trio.run(all_of_them)
    return found


def shards(folder):
    return [folder / f"run-{number}.jsonl" for number in range(SHARDS)]


def schedule(run):
    return [(r.index, r.prompt_id, r.stamps.intended - run.info.started_ns) for r in run.records]


def test_four_shards_keep_the_schedule_of_one_run(folder, tmp_path):
    found = merge_runs(shards(folder)[::-1], tmp_path / "all.jsonl")
    merged, one = read_run(tmp_path / "all.jsonl"), read_run(folder / "one.jsonl")
    # Each begins at one instant of the wall clock, which its own reading of two clocks gives to some microseconds.
    for (index, prompt, at_ns), (index_of_one, prompt_of_one, at_ns_of_one) in zip(
        schedule(merged), schedule(one), strict=True
    ):
        assert (index, prompt) == (index_of_one, prompt_of_one)
        assert at_ns == pytest.approx(at_ns_of_one, abs=5 * MS)
    for path in shards(folder):
        part = read_run(path)
        assert set(schedule(part)) <= set(schedule(one))
    assert found.requests == len(one.records) == 42
    assert merged.info.config["load"] == {k: v for k, v in one.info.config["load"].items() if k != "start_at"}
    assert merged.info.warnings == ()
    assert [clock.offset_ns for clock in merged.info.worker_clocks] == [0] * SHARDS


def figures(summary):
    """What does not depend on the order of requests that started within a microsecond."""
    return {name: (d.n, d.min, d.max, d.median, d.percentiles) for name, d in summary.distributions.items()}


def test_figures_of_the_merged_run_are_those_of_all_requests_together(folder, tmp_path):
    merge_runs(shards(folder), tmp_path / "all.msgpack")
    merged, _ = read_table(tmp_path / "all.msgpack")
    together, _ = read_tables(shards(folder))
    ours, theirs = summarize(merged, merged.info), summarize(together, together.runs[0].info)
    assert ours.requests == theirs.requests == 42
    assert figures(ours) == figures(theirs)
    assert len(figures(ours)) > 10


def test_a_shard_that_is_missing_is_named(folder, tmp_path):
    paths = [path for path in shards(folder) if path.name != "run-2.jsonl"]
    with pytest.raises(ConfigError, match=r"shard 2/4 is missing; .*--partial"):
        merge_runs(paths, tmp_path / "all.jsonl")
    found = merge_runs(paths, tmp_path / "all.jsonl", partial=True)
    assert found.info.warnings[0] == "shard 2/4 is missing"
    assert found.requests == sum(len(read_run(path).records) for path in paths)


def test_no_file_is_taken_twice_and_no_output_is_replaced(folder, tmp_path):
    first, *rest = shards(folder)
    with pytest.raises(ConfigError, match="another of the files holds too"):
        merge_runs([first, first, *rest], tmp_path / "all.jsonl")
    with pytest.raises(ConfigError, match="two or more"):
        merge_runs([first], tmp_path / "all.jsonl")
    shutil.copy(first, tmp_path / "all.jsonl")
    with pytest.raises(FileError, match="exists"):
        merge_runs(shards(folder), tmp_path / "all.jsonl")
    with pytest.raises(ConfigError, match="not shards of one number"):
        merge_runs([first, folder / "one.jsonl"], tmp_path / "x.jsonl")


def made(folder, name, *, shard=None, host="a", records=None, **info):
    """A run file made by hand."""
    config = {"load": {"iterations": 4, "shard": shard}} if shard else {"load": {"iterations": 4}}
    machine = Machine(
        hostname=host, system="Linux", kernel="6", cpus=1, python="3.12", clock_resolution_ns=1, clock_cost_ns=1
    )
    given = {"run_id": name, "config": config, "machine": machine, "ended_ns": INFO.started_ns + 100 * S,
             "ended_at": "2025-11-07T18:31:40Z", **info}  # fmt: skip
    path = folder / name
    write_run(path, msgspec.structs.replace(INFO, **given), [record()] if records is None else records)
    return path


def clock(offset_ns=0, *, error_ms=10, boot="one", **more):
    given = {"synchronized": True, "max_error_ns": error_ms * MS, **more}
    return WallClock(offset_ns=offset_ns, boot_id=boot, **given)


def test_stamps_of_another_machine_are_moved_and_durations_are_not(tmp_path):
    there = record(
        index=1,
        request_id="2",
        connection=Connection(reused=False, attempts=(ATTEMPT,)),
        tries=(Try(start_ns=6 * S, end_ns=7 * S, category="server_error"),),
    )  # fmt: skip
    paths = [
        made(tmp_path, "0.jsonl", shard="0/2", wall_clock=clock(1000 * S)),
        made(tmp_path, "1.jsonl", shard="1/2", host="b", wall_clock=clock(990 * S, boot="two", moved_ns=-2 * MS),
             records=[there], started_ns=INFO.started_ns + 10 * S, ended_ns=INFO.started_ns + 110 * S),
    ]  # fmt: skip
    found = merge_runs(paths, tmp_path / "all.jsonl")
    merged = read_run(tmp_path / "all.jsonl").records[1]
    assert merged.stamps.start == there.stamps.start - 10 * S
    assert merged.stamps.end - merged.stamps.start == there.stamps.end - there.stamps.start
    assert merged.connection.attempts[0].start_ns == -3 * S
    assert merged.tries[0].end_ns == -3 * S
    other = found.info.worker_clocks[1]
    assert (other.host, other.offset_ns, other.uncertainty_ns, other.drift_ns) == ("b", 10 * S, 22 * MS, -2 * MS)
    assert (found.info.started_ns, found.info.ended_ns) == (INFO.started_ns, INFO.started_ns + 100 * S)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (clock(boot="two", error_ms=2000), "more than 1% of a run of"),
        (clock(boot="two", synchronized=False), "no time server"),
        (clock(boot="two", max_error_ns=None), "no time server"),
        (None, "no time server"),
    ],
)
def test_what_clocks_cannot_resolve_is_refused_unless_they_are_trusted(tmp_path, other, why):
    paths = [
        made(tmp_path, "0.jsonl", shard="0/2", wall_clock=clock()),
        made(tmp_path, "1.jsonl", shard="1/2", host="b", wall_clock=other, records=[record(index=1)]),
    ]
    with pytest.raises(ConfigError, match=f"{why}.*--trust-clocks"):
        merge_runs(paths, tmp_path / "all.jsonl")
    assert not (tmp_path / "all.jsonl").exists()
    found = merge_runs(paths, tmp_path / "all.jsonl", trust_clocks=True)
    assert any(why in warning for warning in found.info.warnings)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"shard": "1/2", "config": {"load": {"iterations": 5, "shard": "1/2"}}}, r"load\.iterations differs"),
        ({"shard": "1/2", "targets": ()}, "targets differs"),
        ({"shard": "0/2"}, "two files are shard 0/2"),
        ({"shard": "1/3"}, "not shards of one number"),
        ({"shard": "1/2", "records": [record(index=2)]}, "request 2 is not of shard 1/2"),
        ({"shard": "1/2", "ended_ns": None}, "cut off before its end"),
        ({"shard": "1/2", "ended_ns": -5}, "ends before it begins"),
        ({"shard": "1/2", "started_at": "never"}, "started_at 'never' is no time"),
        ({"shard": "1/2", "started_at": "2026-01-01"}, "it has no time zone"),
        ({"shard": "1/2", "config": {"load": [1]}}, "not shards of one number"),
        ({"shard": "1/2", "config": {"load": None}}, "not shards of one number"),
        ({"shard": "1/1000000000"}, "at most 10,000 machines"),
    ],
)
def test_what_is_not_one_run_is_refused(tmp_path, changes, why):
    first = made(tmp_path, "0.jsonl", shard="0/2", wall_clock=clock())
    changes = {"records": [record(index=1)], **changes}
    with pytest.raises(ConfigError, match=why):
        merge_runs([first, made(tmp_path, "1.jsonl", wall_clock=clock(), **changes)], tmp_path / "all.jsonl")
    assert not (tmp_path / "all.jsonl").exists()


def test_of_many_missing_shards_a_few_are_named(tmp_path):
    parts = [
        made(tmp_path, f"{n}.jsonl", shard=f"{n}/9000", records=[record(index=n)], wall_clock=clock()) for n in (0, 4)
    ]
    with pytest.raises(ConfigError, match=r"shard 1/9000, 2/9000, 3/9000, 5/9000, .* and 8,988 more is missing"):
        merge_runs(parts, tmp_path / "all.jsonl")


def test_shards_that_began_apart_are_reported(tmp_path):
    paths = [
        made(tmp_path, "0.jsonl", shard="0/2", wall_clock=clock()),
        made(tmp_path, "1.jsonl", shard="1/2", wall_clock=clock(), records=[record(index=1)],
             started_ns=INFO.started_ns + 2 * S),
    ]  # fmt: skip
    (warning,) = merge_runs(paths, tmp_path / "all.jsonl").info.warnings
    assert "began 2.00 s apart" in warning


def test_runs_without_shards_are_joined_in_the_order_of_their_starts(tmp_path):
    def at(start_ns, number):
        return record(index=0, request_id=str(number), stamps=Stamps(start=start_ns))

    first = made(tmp_path, "0.jsonl", wall_clock=clock(), records=[at(5, 1), at(9, 3)])
    second = made(tmp_path, "1.jsonl", wall_clock=clock(), records=[at(7, 2)])
    found = merge_runs([first, second], tmp_path / "all.jsonl")
    merged = read_run(tmp_path / "all.jsonl").records
    assert [(one.index, one.request_id) for one in merged] == [(0, "1"), (1, "2"), (2, "3")]
    assert found.successes == 3
    failed = made(tmp_path, "2.jsonl", wall_clock=clock(), records=[record(status=Status.SERVER_ERROR)])
    assert merge_runs([failed, second], tmp_path / "x.jsonl").successes == 1
    with pytest.raises(ConfigError, match="targets differs"):
        merge_runs([first, made(tmp_path, "3.jsonl", wall_clock=clock(), targets=())], tmp_path / "y.jsonl")


def test_two_addresses_are_two_targets_unless_the_user_calls_them_alike(tmp_path):
    def at(url, **more):
        return tuple([msgspec.structs.replace(one, url=url, **more) for one in INFO.targets])

    first = made(tmp_path, "0.jsonl", wall_clock=clock(), targets=at("http://a/v1"))
    second = made(tmp_path, "1.jsonl", wall_clock=clock(), targets=at("http://b/v1"))
    with pytest.raises(ConfigError, match="targets differs"):
        merge_runs([first, second], tmp_path / "all.jsonl")
    named = [
        made(tmp_path, f"{n}.jsonl", wall_clock=clock(), targets=at(url, named=True), run_id=str(n))
        for n, url in enumerate(["http://a/v1", "http://b/v1"], 2)
    ]
    assert merge_runs(named, tmp_path / "all.jsonl").successes
