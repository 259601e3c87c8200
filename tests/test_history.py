"""Run files: what was written is read back, cut or not; and nothing is replaced unasked."""

from __future__ import annotations

import json
import os
import re
import threading
from array import array
from pathlib import Path

import msgspec
import pytest
from handmade import INFO, failed_record, full_record, record
from waiting import HANG_S

from lens.errors import FileError
from lens.export.jsonl import JsonLines, Packed
from lens.history.framing import Loss
from lens.history.read import RunStream, read_header, read_run
from lens.history.write import LOG, PARTIAL, NewFile, create_beside, is_abandoned, is_special, is_stdout, write_run
from lens.metrics.builder import read_table, table_of
from lens.metrics.summarize import summarize
from lens.model import Usage
from lens.pricing import PriceBook, parse_price, standard_book

OLD = Path(__file__).parent / "fixtures" / "runs"
RECORDS = [full_record(), failed_record("ünïcode\nand a line"), record((1, 2, 3), index=2)]


@pytest.mark.parametrize("name", ["run.jsonl", "run.msgpack"])
def test_what_was_written_is_read_back(tmp_path, name):
    write_run(tmp_path / name, INFO, RECORDS)
    run = read_run(tmp_path / name)
    assert run.info == INFO
    assert run.records == RECORDS
    assert run.warnings == ()


@pytest.mark.parametrize("name", ["run.jsonl", "run.msgpack"])
def test_a_file_cut_anywhere_keeps_what_was_whole(tmp_path, name):
    path = tmp_path / name
    write_run(path, INFO, RECORDS)
    data = path.read_bytes()
    for cut in (len(data) - 1, len(data) - 7, len(data) * 3 // 4):
        path.write_bytes(data[:cut])
        run = read_run(path)
        assert run.info == INFO
        assert run.records == RECORDS[: len(run.records)]
        if name == "run.jsonl" and cut == len(data) - 1:
            continue  # the end of the last line: nothing is lost
        assert "cut off" in run.warnings[0]
        assert all(isinstance(one, Loss) for one in run.warnings)


def test_a_file_cut_at_the_end_of_a_line_is_known_for_it(tmp_path):
    path = tmp_path / "run.jsonl"
    write_run(path, INFO, RECORDS)
    lines = path.read_bytes().splitlines(keepends=True)
    for kept in range(1, len(lines)):
        path.write_bytes(b"".join(lines[:kept]))
        run = read_run(path)
        assert len(run.records) == kept - 1
        assert run.warnings == ("it was cut: its last line is missing, and requests may be",)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    assert read_run(path).warnings == ("1 of its 3 requests are missing: it was cut or damaged",)


@pytest.mark.parametrize("name", ["run.jsonl", "run.msgpack"])
def test_an_export_that_was_cut_says_how_many_requests_it_lacks(tmp_path, name):
    path, table = tmp_path / name, table_of(RECORDS, INFO)
    kind = Packed if name.endswith("msgpack") else JsonLines
    pieces = b"".join(kind(INFO, PriceBook()).write(table, INFO, summarize(table)))
    path.write_bytes(pieces)
    assert read_run(path).warnings == ()
    if kind is JsonLines:
        path.write_bytes(b"".join(pieces.splitlines(keepends=True)[:2]))
        assert read_run(path).warnings == ("2 of its 3 requests are missing: it was cut or damaged",)


def test_a_broken_line_in_the_middle_costs_that_line_only(tmp_path):
    path = tmp_path / "run.jsonl"
    write_run(path, INFO, RECORDS)
    lines = path.read_bytes().splitlines()
    lines[2] = lines[2][:20]
    path.write_bytes(b"\n".join(lines) + b"\n")
    run = read_run(path)
    assert run.records == [RECORDS[0], RECORDS[2]]
    assert run.warnings[0].startswith("line 3 cannot be read")


def test_keys_in_another_order_and_unknown_ones_are_read(tmp_path):
    path = tmp_path / "run.jsonl"
    write_run(path, INFO, RECORDS)
    lines = [json.dumps(json.loads(x) | {"new": 1}, sort_keys=True) for x in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    run = read_run(path)
    assert (run.info, run.records) == (INFO, RECORDS)


def test_the_last_header_counts(tmp_path):
    path = tmp_path / "run.jsonl"
    write_run(path, INFO, RECORDS)
    ended = msgspec.structs.replace(INFO, ended_at="2025-11-07T18:31:00Z")
    path.write_bytes(path.read_bytes() + msgspec.json.encode(ended) + b"\n")
    assert read_run(path).info.ended_at == "2025-11-07T18:31:00Z"


def test_a_file_is_not_replaced_unless_told_to(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("precious")
    with pytest.raises(FileError, match="--force"):
        write_run(path, INFO, [])
    assert path.read_text() == "precious"
    write_run(path, INFO, [], force=True)
    assert read_run(path).info == INFO


def test_what_was_interrupted_keeps_another_name(tmp_path):
    path = tmp_path / "run.jsonl"
    file = NewFile(path)
    file.write(b"half")
    file.__exit__(KeyboardInterrupt, None, None)
    assert not path.exists()
    assert path.with_name("run.jsonl" + PARTIAL).read_bytes() == b"half"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot read"),
        (b"", "empty"),
        (b"hello\n", "not a run file"),
        (b"[]", "not a run file"),
        (b"{}", "not a run file"),
    ],
)
def test_what_is_no_run_file_is_refused(tmp_path, content, says):
    path = tmp_path / "run.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=says):
        read_run(path)


def test_a_layout_from_the_future_is_refused(tmp_path):
    path = tmp_path / "run.jsonl"
    write_run(path, msgspec.structs.replace(INFO, schema=99), RECORDS)
    with pytest.raises(FileError, match="newer"):
        read_run(path)


def test_a_place_that_cannot_be_written_is_reported(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        NewFile(tmp_path / "absent" / "run.jsonl")


@pytest.mark.parametrize("name", ["schema1.jsonl", "schema1.msgpack"])
def test_files_of_an_older_layout_are_read(name):
    assert read_run(OLD / name).records == [msgspec.structs.replace(one, session=None) for one in RECORDS]


@pytest.mark.parametrize("name", ["run.jsonl", "run.msgpack"])
def test_a_run_is_read_record_by_record(tmp_path, name):
    write_run(tmp_path / name, INFO, RECORDS * 700)
    with RunStream(tmp_path / name) as stream:
        assert stream.info == INFO
        assert sum(1 for _ in stream) == len(RECORDS) * 700


def test_packed_columns_keep_their_width(tmp_path):
    came = RECORDS[0].events
    numbered = msgspec.structs.replace(came, block=array("H", [0, 1] * (len(came) // 2)))
    write_run(tmp_path / "run.msgpack", INFO, [msgspec.structs.replace(RECORDS[0], events=numbered), *RECORDS])
    kept, plain, *_ = [record.events for record in read_run(tmp_path / "run.msgpack").records]
    assert [getattr(kept, name).typecode for name in kept.__struct_fields__] == list("qqHIIH")
    assert kept.block == numbered.block
    assert plain.block is None


def test_a_message_that_is_longer_than_a_block_is_read(tmp_path):
    long = msgspec.structs.replace(RECORDS[0], text="x" * 3_000_000)
    write_run(tmp_path / "run.msgpack", INFO, [long, *RECORDS])
    assert read_run(tmp_path / "run.msgpack").records == [long, *RECORDS]


def test_a_column_of_an_unknown_kind_is_reported(tmp_path):
    path = tmp_path / "run.msgpack"
    write_run(path, INFO, RECORDS)
    column = b"q" + RECORDS[0].events.arrived_ns.tobytes()
    path.write_bytes(path.read_bytes().replace(column, b"?" + column[1:], 1))
    run = read_run(path)
    assert run.records == RECORDS[1:]
    assert run.warnings[0].startswith("message 2 cannot be read")


@pytest.mark.parametrize("name", ["run.jsonl", "run.msgpack", "schema1.msgpack"])
def test_a_summary_of_a_stream_is_that_of_its_records(tmp_path, name):
    path = OLD / name
    if name.startswith("run"):
        path = tmp_path / name
        told = msgspec.structs.replace(RECORDS[2], tokens_per_event=array("q", [1, 2, 4]), usage=None)
        write_run(path, INFO, [*RECORDS, told, msgspec.structs.replace(told, usage=Usage(input_tokens=3))])
    for book in (PriceBook(), PriceBook([parse_price("in=1,out=2")]), standard_book()):
        assert summarize(RunStream(path), book=book) == summarize(read_run(path).records, book=book)


def test_two_writers_of_one_name_never_share_a_file(tmp_path):
    path = tmp_path / "run.json"
    first, second = NewFile(path), NewFile(path)
    assert first.partial != second.partial
    first.write(b"first")
    second.write(b"second")
    first.finish()
    with pytest.raises(FileError, match="written by another run meanwhile") as caught:
        second.finish()
    assert path.read_bytes() == b"first"
    assert second.partial.read_bytes() == b"second"
    assert str(second.partial) in str(caught.value)


def test_a_name_of_ours_is_numbered_where_it_is_taken(tmp_path):
    path = tmp_path / "run.json"
    with NewFile(path, numbered=True), NewFile(path, numbered=True) as second:
        pass
    with NewFile(path, numbered=True) as third:
        pass
    assert [second.path.name, third.path.name] == ["run-2.json", "run-3.json"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["run-2.json", "run-3.json", "run.json"]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "none/such/x"])
def test_a_name_that_cannot_be_is_a_file_error(tmp_path, name):
    with pytest.raises(FileError, match="cannot write"):
        NewFile(tmp_path / name)


def test_a_link_is_followed_to_the_file_that_it_names(tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    link.symlink_to(target)
    with NewFile(link) as file:  # it leads nowhere yet
        file.write(b"first")
    assert (link.is_symlink(), target.read_bytes()) == (True, b"first")
    with pytest.raises(FileError, match="exists"):
        NewFile(link)
    target.chmod(0o640)
    with NewFile(link, force=True) as file:
        file.write(b"second")
    assert (link.is_symlink(), target.read_bytes()) == (True, b"second")
    assert target.stat().st_mode & 0o777 == 0o640, "what is replaced keeps its permissions"


@pytest.mark.parametrize("force", [False, True])
def test_a_pipe_is_written_to_and_stays_one(tmp_path, force):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with NewFile(pipe, force=force) as file:
        file.write(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert is_special(pipe)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_device_is_written_to_and_a_full_one_is_reported():
    with NewFile(Path("/dev/null"), force=True) as file:
        file.write(b"away")
    assert Path("/dev/null").is_char_device()
    full = NewFile(Path("/dev/full"), force=True)
    full.write(b"x")
    with pytest.raises(FileError, match="cannot write /dev/full: No space left"):
        full.finish()


def test_the_name_of_an_open_stream_is_that_stream(tmp_path):
    with (tmp_path / "shared").open("wb") as shared:
        shared.write(b"before ")
        shared.flush()
        with NewFile(Path(f"/dev/fd/{shared.fileno()}"), force=True) as file:
            file.write(b"ours ")
        shared.write(b"after")
    assert (tmp_path / "shared").read_bytes() == b"before ours after"


def test_a_link_in_place_of_our_own_file_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "run.json.partial").symlink_to(victim)
    with NewFile(tmp_path / "run.json") as file:
        file.write(b"ours")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "run.json").read_bytes() == b"ours"


def test_a_folder_is_no_file_even_by_force(tmp_path):
    for force in (False, True):
        with pytest.raises(FileError, match="is a folder; name a file in it, or give --output-dir"):
            NewFile(tmp_path, force=force)


@pytest.mark.parametrize("name", ["run.jsonl", "run.msgpack"])
def test_a_header_is_read_without_the_requests(tmp_path, name):
    info = msgspec.structs.replace(INFO, config={"requests": 3, "run": {"schema": 1}})
    write_run(tmp_path / name, info, RECORDS)
    assert read_header(tmp_path / name) == info


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_the_header_of_a_json_export_is_read_however_it_is_laid_out(tmp_path, indent):
    write_run(tmp_path / "run.jsonl", INFO, RECORDS)
    header, *rest, _ = map(json.loads, (tmp_path / "run.jsonl").read_text().splitlines())
    (tmp_path / "run.json").write_text(json.dumps({"run": header, "requests": rest}, indent=indent))
    assert read_header(tmp_path / "run.json") == INFO


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"LENSRUN1", b"LENSRUN1\xff\xff\xff\xff", b'{"a": 1}\n', b'{\n"run": 3}', b"PAR1"]
)
def test_what_is_no_run_has_no_header(tmp_path, data):
    (tmp_path / "x.json").write_bytes(data)
    assert read_header(tmp_path / "x.json") is None


@pytest.mark.parametrize("name", ["index", "target_index", "hidden_thinking_ns"])
def test_a_number_that_no_record_can_have_costs_that_record(tmp_path, name):
    write_run(tmp_path / "run.jsonl", INFO, [RECORDS[1], msgspec.structs.replace(RECORDS[2], **{name: 2**70})])
    table, warnings = read_table(tmp_path / "run.jsonl")
    assert len(table) == 1
    assert warnings


def test_a_cost_beyond_any_bill_is_no_cost(tmp_path):
    write_run(tmp_path / "run.jsonl", INFO, [msgspec.structs.replace(RECORDS[2], reported_cost_usd="1e999999")])
    assert read_table(tmp_path / "run.jsonl")[0].costs.total is None


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("removed", [True, False], ids=["removed", "replaced by a link"])
def test_a_file_that_is_taken_away_while_it_is_written_is_no_complete_output(tmp_path, force, removed):
    victim = tmp_path / "precious"
    victim.write_text("precious")
    victim.chmod(0o600)
    file = NewFile(tmp_path / "run.json", force=force)
    file.write(b"measured")
    file.partial.unlink()
    if not removed:
        file.partial.symlink_to(victim)
    with pytest.raises(FileError, match="was removed or replaced meanwhile"):
        file.finish()
    assert not (tmp_path / "run.json").exists()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "is_it"),
    [("-", True), ("/dev/stdout", True), ("/dev/fd/1", True), ("/proc/self/fd/1", True), ("/dev/stderr", False),
     ("/dev/fd/2", False), ("stdout", False), (None, False)],
)  # fmt: skip
def test_standard_output_is_known_by_each_of_its_names(name, is_it):
    assert is_stdout(name) is is_it


def test_an_empty_file_of_a_dead_writer_is_replaced_and_one_with_content_is_not(tmp_path):
    for name, left in (("a", b""), ("b", b"x")):
        (tmp_path / f"{name}{PARTIAL}").write_bytes(left)
    file, path = create_beside(tmp_path / "a", PARTIAL)
    with file:
        assert path == tmp_path / f"a{PARTIAL}"
        other, beside = create_beside(tmp_path / "a", PARTIAL)  # the first is empty, and its writer lives
        other.close()
    assert beside == tmp_path / f"a.2{PARTIAL}"
    file, path = create_beside(tmp_path / "b", PARTIAL)
    file.close()
    assert path == tmp_path / f"b.2{PARTIAL}"
    assert (tmp_path / f"b{PARTIAL}").read_bytes() == b"x"


def test_a_file_is_abandoned_once_nobody_has_it_open(tmp_path):
    file, path = create_beside(tmp_path / "run.json", PARTIAL)
    assert not is_abandoned(path)
    file.close()
    assert is_abandoned(path)
    assert not is_abandoned(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    assert not is_abandoned(tmp_path / "pipe")


def test_a_pipe_without_a_reader_is_told_and_one_with_a_reader_is_not(tmp_path, monkeypatch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))

    monkeypatch.setattr(LOG, "warning", lambda *_: reader.start())  # the reader comes once it is waited for
    with NewFile(pipe) as file:
        file.write(b"one")
    reader.join(HANG_S)
    assert got == [b"one"]
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with NewFile(pipe) as file:  # nothing starts a thread twice
        file.write(b"two")
    assert os.read(held, 10) == b"two"
    os.close(held)


@pytest.mark.parametrize("name", ["run.jsonl", "run.msgpack"])
def test_a_negative_count_of_tokens_is_refused_with_its_line(tmp_path, name):
    wrong = record(usage=Usage(input_tokens=3, output_tokens=-5))
    write_run(tmp_path / name, INFO, [*RECORDS, wrong])
    run, (table, told) = read_run(tmp_path / name), read_table(tmp_path / name)
    assert run.records == RECORDS
    assert len(table) == len(RECORDS)
    for warnings in (run.warnings, told):
        assert re.search(
            r" 5 cannot be read \(Expected `(int|float)` >= 0\S* - at `\$.usage.output_tokens`\)", warnings[0]
        )
