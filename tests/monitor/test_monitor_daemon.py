"""A monitor in virtual time: an hour with a backend away in the middle, days without growing, and its pages."""

import json
import shutil

import msgspec
import pytest
import trio
from probes import answer

from lens.config.settings import ExportConfig, LoadConfig, MonitorConfig, OutputConfig, RunConfig, TargetConfig
from lens.errors import ConfigError, FileError, TransportError
from lens.model import RunInfo, Status
from lens.monitor.burn import parse_objective
from lens.monitor.daemon import Monitor, Settings, check_monitor, read_token
from lens.monitor.outbox import MetricsOutbox, Outbox
from lens.orchestrator.stop import Stop
from lens.pricing import PriceBook
from lens.units import NS_PER_S

INFO = RunInfo(schema=1, version="0", run_id="r", started_at="2026-01-01T00:00:00Z", started_ns=0, targets=())
TARGETS = (TargetConfig(provider="openai", model="gpt-4"), TargetConfig(provider="anthropic", model="claude"))


class Backend:
    """Takes what it is given, unless it is away."""

    def __init__(self):
        self.away = False
        self.waiting, self.taken, self.attempts = [], [], 0

    def add(self, record):
        self.waiting.append(record.request_id)

    def flush(self):
        self.attempts += 1
        if self.away:
            raise TransportError("push to http://backend: ConnectionRefusedError")
        self.taken += self.waiting
        self.waiting.clear()


class Probes:
    """Rounds that take a second."""

    def __init__(self, **figures):
        self.count, self.figures, self.took_s = 0, figures, 1.0

    async def __call__(self, config, take, stop):
        await trio.sleep(self.took_s)
        for target in config.targets:
            take(answer(self.count, provider=target.provider, model=target.model, **self.figures))
            self.count += 1


async def at_once(call):
    """Threads have no part in virtual time."""
    await trio.lowlevel.checkpoint()
    call()


def monitor(probes, *, targets=TARGETS, objectives=(), once=False, duration_s=None, say=None, **fields):
    config = RunConfig(targets=targets, monitor=MonitorConfig(**fields))
    settings = Settings(config=config, book=PriceBook(), objectives=objectives, once=once, duration_s=duration_s)
    return Monitor(settings, INFO, probes, say or (lambda _: None), sender=at_once)


@pytest.fixture
def clock(autojump_clock):
    return autojump_clock


async def test_an_hour_with_a_backend_away_in_the_middle_loses_nothing(clock):
    probes, backend, said = Probes(), Backend(), []
    made = monitor(probes, duration_s=3600, say=said.append)
    made.outboxes.append(MetricsOutbox("influx", backend))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run, Stop())
        await trio.sleep(1200)
        backend.away = True
        attempts = backend.attempts
        await trio.sleep(1200)
        assert backend.attempts - attempts < 30, "one that is away is asked more and more rarely"
        assert made.outboxes[0].waiting > 30
        backend.away = False
    assert probes.count == 2 * 60
    assert backend.taken == [str(n) for n in range(probes.count)]
    assert made.outboxes[0].dropped == 0
    assert sum("ConnectionRefused" in line for line in said) == 1, "told once, not each minute"


async def test_beyond_the_bound_the_oldest_go_and_are_counted(clock):
    probes, backend = Probes(), Backend()
    backend.away = True
    made = monitor(probes, duration_s=3600)
    box = MetricsOutbox("influx", backend, most=50)
    made.outboxes.append(box)
    await made.run(Stop())
    assert box.waiting == 50
    assert box.dropped == probes.count - 50


async def test_days_do_not_make_it_grow(clock):
    probes = Probes()
    made = monitor(
        probes, objectives=(parse_objective("ttft<50 99%"),), duration_s=1100 * 180, interval_ns=180 * NS_PER_S
    )
    await made.run(Stop())
    assert probes.count == 2 * 1100
    assert all(watch.held() < 1000 for watch in made.watches.values())
    assert len(made._told) <= 101


async def test_a_round_that_takes_too_long_makes_the_next_late_and_never_two_at_once(clock):
    probes = Probes()
    probes.took_s = 150.0
    made = monitor(probes, duration_s=1000)
    await made.run(Stop())
    assert made.late > 0
    assert probes.count <= 2 * 7


async def test_a_stop_ends_it_and_what_waits_is_sent(clock):
    probes, backend, stop = Probes(), Backend(), Stop()
    made = monitor(probes)
    made.outboxes.append(MetricsOutbox("influx", backend))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run, stop)
        await trio.sleep(130)
        stop.ask("SIGTERM")
    assert len(backend.taken) == probes.count


async def test_an_slo_that_a_target_can_never_keep_is_told_once_at_start_and_after_a_reload(clock):
    said, slos = [], (parse_objective("ttft<1000 99%"),)
    whole = msgspec.structs.replace(TARGETS[0], stream=False)
    made = monitor(Probes(), targets=(TARGETS[1],), objectives=slos, duration_s=300, say=said.append)

    async def reload():
        await trio.sleep(100)
        assert said == []
        made.reload(made.settings._replace(config=msgspec.structs.replace(made.settings.config, targets=(whole,))))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reload)
        await made.run(Stop())
    assert [one for one in said if "stream: false" in one] == said[:1]
    first = monitor(Probes(), targets=(whole,), objectives=slos, once=True, say=said.append)
    await first.run(Stop())
    assert said[-1] == said[0]


async def test_once_is_one_round(clock):
    probes = Probes()
    await monitor(probes, once=True).run(Stop())
    assert probes.count == 2


async def test_a_round_that_cannot_be_done_is_told_and_the_next_is_tried(clock):
    said, calls = [], []

    async def probe(config, take, stop):
        calls.append(1)
        if len(calls) < 3:
            raise ConfigError("no key")
        take(answer())

    made = monitor(probe, duration_s=200, say=said.append)
    await made.run(Stop())
    assert len(calls) > 2
    names = ("anthropic/claude", "openai/gpt-4")
    assert sorted(said) == [f"{name}: a round could not be done: no key" for name in names]


async def test_other_settings_take_the_place_of_the_old_and_counts_go_on(clock):
    probes = Probes()
    made = monitor(probes, duration_s=600)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run, Stop())
        await trio.sleep(200)
        fewer = msgspec.structs.replace(made.settings.config, targets=TARGETS[:1])
        assert made.reload(made.settings._replace(config=fewer)) == ()
    assert set(made.watches) == {("openai", "gpt-4", "openai/gpt-4")}
    text = made.metrics().body.decode()
    assert 'requests_total{provider="openai",model="gpt-4",target="openai/gpt-4",status="Success"} 10' in text
    assert "anthropic" not in text, "its series end with it"


async def test_alerts_of_what_a_reload_gives_up_are_resolved_at_every_receiver(clock):
    said, objectives = [], tuple(map(parse_objective, ("success 99%", "ttft<50 99%")))
    made = monitor(Probes(ok=False), objectives=objectives, duration_s=1300, say=said.append, webhook="http://hook/x")
    made.outboxes.clear()  # the webhook takes nothing here: what it would be told stays in it
    await made.run(Stop())
    fired = [(alert.target, alert.alert, alert.says) for watch in made.watches.values() for alert in watch.firing]
    assert {alert for target, alert, _ in fired if target == "openai/gpt-4"} == {"failing", "slo_burn", "slo_burn_slow"}
    kept, before = made.watches["anthropic", "claude", "anthropic/claude"], len(made.webhook._alerts)
    renamed = (msgspec.structs.replace(TARGETS[0], name="other"), TARGETS[1])
    config = msgspec.structs.replace(made.settings.config, targets=renamed)
    made.reload(made.settings._replace(config=config))
    told = list(made.webhook._alerts)[before:]
    assert {one.status for one in told} == {"resolved"}
    gone = [(target, alert, f"no longer watched; it was: {says}") for target, alert, says in fired if "gpt" in target]
    assert [(one.target, one.alert, one.says) for one in told] == gone
    assert [line for line in said if "no longer watched" in line] == [f"resolved: {t}: {says}" for t, _, says in gone]
    assert made.watches["anthropic", "claude", "anthropic/claude"] is kept
    assert "openai/gpt-4" not in made.metrics().body.decode() + made.health().body.decode()

    made.reload(made.settings._replace(objectives=objectives[1:]))
    resolved = [(one.alert, "success 99%" in one.says) for one in list(made.webhook._alerts)[before + len(told) :]]
    assert resolved == [("slo_burn", True), ("slo_burn_slow", True)], "of the objective that is gone"
    assert [alert.alert for alert in kept.firing] == ["failing", "slo_burn", "slo_burn_slow"]
    assert kept.budgets[0].rate(1300.0, 3600.0) is not None, "the one that stays keeps its counts"


class CutProbes(Probes):
    """Answers that never end; who asks says so when the wait is cut."""

    async def __call__(self, config, take, stop):
        await stop.wait()
        target = config.targets[0]
        cut = answer(self.count, ok=False, provider=target.provider, model=target.model)
        take(msgspec.structs.replace(cut, category="interrupted", status=Status.CANCELLED))
        self.count += 1


@pytest.mark.parametrize("end", ["SIGTERM", "duration"])
async def test_the_probe_under_way_at_the_end_is_recorded_as_interrupted(clock, tmp_path, end):
    probes, backend, stop, said = CutProbes(), Backend(), Stop(), []
    made = monitor(
        probes, duration_s=30 if end == "duration" else None, say=said.append, history=str(tmp_path / "h"),
        objectives=(parse_objective("success 99%"),),
    )  # fmt: skip
    made.outboxes.append(MetricsOutbox("influx", backend))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run, stop)
        await trio.sleep(20)
        if end == "SIGTERM":
            stop.ask(end)
    from lens.history.read import read_run

    (path,) = (tmp_path / "h").glob("*.jsonl")
    assert [record.category for record in read_run(path).records] == ["interrupted"] * 2
    assert sorted(backend.taken) == ["0", "1"]
    text = made.metrics().body.decode()
    assert 'requests_total{provider="openai",model="gpt-4",target="openai/gpt-4",status="Cancelled"} 1' in text
    assert "errors_total" not in text
    assert not any(watch.failures for watch in made.watches.values()), "what we cut says nothing of the target"
    assert not said


async def test_the_probe_of_a_target_that_a_reload_removes_is_cut_and_recorded(clock, tmp_path):
    probes, stop = CutProbes(), Stop()
    made = monitor(probes, history=str(tmp_path / "h"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run, stop)
        await trio.sleep(20)
        fewer = msgspec.structs.replace(made.settings.config, targets=TARGETS[:1])
        made.reload(made.settings._replace(config=fewer))
        await trio.sleep(1)
        assert probes.count == 1
        assert b"claude" not in made.metrics().body
        assert not made.watches
        stop.ask("SIGTERM")
    from lens.history.read import read_run

    (path,) = (tmp_path / "h").glob("*.jsonl")
    records = read_run(path).records
    assert [(one.model, one.category) for one in records] == [("claude", "interrupted"), ("gpt-4", "interrupted")]


async def test_a_target_that_could_never_be_asked_is_no_trouble_once_it_is_gone(clock):
    probes = Probes()

    async def probe(config, take, stop):
        if config.targets[0].provider == "anthropic":
            raise ConfigError("no key")
        await probes(config, take, stop)

    made = monitor(probe, duration_s=600)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run, Stop())
        await trio.sleep(200)
        assert json.loads(made.health().body)["troubles"] == ["anthropic/claude: a round could not be done: no key"]
        fewer = msgspec.structs.replace(made.settings.config, targets=TARGETS[:1])
        made.reload(made.settings._replace(config=fewer))
        await trio.sleep(100)
        assert json.loads(made.health().body)["troubles"] == []


async def test_what_only_a_new_monitor_obeys_is_told_until_it_is_as_it_was(clock):
    made = monitor(Probes(), keep_mb=500)
    before = made.settings
    for changes, told in (
        ({"webhook": "http://hook/x", "interval_ns": NS_PER_S}, ("webhook",)),
        ({"keep_ns": NS_PER_S, "listen": ""}, ("listen", "keep")),
        ({}, ()),
    ):
        changed = msgspec.structs.replace(before.monitor, **changes)
        config = msgspec.structs.replace(before.config, monitor=changed)
        assert made.reload(before._replace(config=config)) == told
    assert made.webhook is None


async def test_the_pages_say_what_is_so(clock):
    made = monitor(Probes(ttft_ms=500.0), objectives=(parse_objective("ttft<200 99%"),), duration_s=1300)
    await made.run(Stop())
    text = made.metrics().body.decode()
    assert "llm_latency_lens_monitor_up{} 1" in text
    series = 'provider="openai",model="gpt-4",target="openai/gpt-4",alert="slo_burn"'
    assert f"llm_latency_lens_alerts_firing{{{series}}} 1" in text
    health = json.loads(made.health().body)
    assert health["ok"]
    assert health["rounds"] >= 20
    assert any("error budget burns" in line for line in health["firing"])
    await trio.sleep(100_000)
    assert made.health().status == 503, "no round for so long is no health"


async def test_history_is_kept_in_bounds(clock, tmp_path):
    made = monitor(Probes(), duration_s=10_800, history=str(tmp_path / "h"), keep_mb=1)
    assert made.history is not None
    made.history._keep_bytes, made.history._segment_bytes = 250_000, 50_000
    await made.run(Stop())
    files = sorted((tmp_path / "h").glob("*.jsonl"))
    assert 1 < len(files) < 10
    assert sum(path.stat().st_size for path in files) < 350_000
    from lens.history.read import read_run

    assert read_run(files[-1]).records


async def test_a_disk_that_takes_nothing_costs_only_the_history(tmp_path):
    made = monitor(Probes(), history=str(tmp_path / "h"))
    shutil.rmtree(tmp_path / "h")
    (tmp_path / "h").write_text("a file in its place")
    made.take(answer())
    assert made.history.lost == 1
    assert "requests lost" in made.history.trouble


def test_an_outbox_alone_is_nothing():
    with pytest.raises(TypeError):
        Outbox("x", 1)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"load": LoadConfig(rate_per_s=5.0)}, r"monitor: load\.rate_per_s"),
        ({"load": LoadConfig(max_cost_usd="1")}, r"monitor: load\.max_cost_usd"),
        ({"load": LoadConfig(warmup="auto")}, r"monitor: load\.warmup"),
        ({"output": OutputConfig(real_time=True)}, r"monitor: output\.real_time"),
        ({"output": OutputConfig(exports=(ExportConfig(format="json", file="x.json"),))}, r"monitor: output\.exports"),
        ({"thresholds": ("ttft_p50<5",)}, "monitor: thresholds"),
    ],
)
def test_what_a_monitor_cannot_obey_is_refused_by_its_name(fields, says):
    targets = (TargetConfig(provider="simulator"),)
    check_monitor(RunConfig(targets=targets, load=LoadConfig(connection="fresh", retries=2)))
    with pytest.raises(ConfigError, match=says):
        check_monitor(RunConfig(targets=targets, **fields))


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), MemoryError(), ValueError("of a plugin")])
async def test_rounds_go_on_whatever_one_ends_with(clock, error):
    said, probes = [], Probes()

    async def probe(config, take, stop):
        if made.rounds == 2:
            raise BaseExceptionGroup("in a nursery", [error])
        await probes(config, take, stop)

    made = monitor(probe, duration_s=300, say=said.append)
    await made.run(Stop())
    assert made.rounds >= 5
    assert probes.count == 2 * (made.rounds - 1)
    assert sum(f"a round could not be done: {type(error).__name__}" in line for line in said) == len(TARGETS)
    assert not made.failed_rounds


async def test_a_target_that_hangs_holds_up_no_other_and_is_told(clock):
    said, probes, held = [], Probes(), trio.Event()

    async def probe(config, take, stop):
        if config.targets[0].provider == "openai":
            await held.wait()
        await probes(config, take, stop)

    made = monitor(probe, duration_s=1000, say=said.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run, Stop())
        await trio.sleep(590)
        assert probes.count == made.rounds == 10, "the other is asked as ever"
        health = json.loads(made.health().body)
        assert health["ok"], "what hangs is the target, not the monitor"
        assert health["rounds_late"] == 9
        assert health["firing"] == ["openai/gpt-4: no answer has ended while 3 rounds began"]
        assert b'target="openai/gpt-4",alert="hanging"} 1' in made.metrics().body
        held.set()
        await trio.sleep(5)
        assert not json.loads(made.health().body)["firing"]
        assert probes.count == 12, "it takes part in the round that had begun meanwhile"
        await trio.sleep(60)
    assert [line.split(":")[0] for line in said] == ["firing", "resolved"]
    assert sum(watch.requests for watch in made.watches.values()) == probes.count


async def test_a_target_slower_than_the_interval_is_asked_again_at_once_and_does_not_hang(clock):
    said, probes = [], Probes()
    probes.took_s = 100.0

    async def probe(config, take, stop):
        for _ in range(4):  # prompts, one after another
            await probes(config, take, stop)

    made = monitor(probe, targets=TARGETS[:1], duration_s=2001, say=said.append)
    await made.run(Stop())
    assert probes.count == 20
    assert not said


async def test_no_receiver_ends_the_monitor(clock):
    class Broken(Backend):
        def flush(self):
            raise RuntimeError("a backend's library")

    said, probes = [], Probes()
    made = monitor(probes, duration_s=600, say=said.append)
    made.outboxes.append(MetricsOutbox("influx", Broken()))
    await made.run(Stop())
    assert probes.count == 2 * 10
    assert any("RuntimeError: a backend's library" in line for line in said)


@pytest.mark.parametrize(("text", "token"), [("t0ken\n", "t0ken"), (None, None)])
def test_the_token_of_metrics_is_read_from_its_file(tmp_path, text, token):
    if text is not None:
        (tmp_path / "token").write_text(text)
    assert read_token(MonitorConfig(listen_token_file=str(tmp_path / "token") if text else None)) == token


def test_a_token_that_is_none_is_refused(tmp_path):
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match=r"--listen-token-file .*it is empty"):
        read_token(MonitorConfig(listen_token_file=str(tmp_path / "token")))
    with pytest.raises(FileError, match=r"--listen-token-file .*cannot read"):
        read_token(MonitorConfig(listen_token_file=str(tmp_path / "none")))
