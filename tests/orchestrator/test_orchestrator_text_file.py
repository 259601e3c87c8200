"""A file that a user hands us is its text, whatever program wrote it, or an error that names it."""

import codecs

import pytest

from lens.errors import FileError
from lens.orchestrator.text_file import read_text


@pytest.mark.parametrize(
    "data",
    [
        "Größe\n".encode(),
        codecs.BOM_UTF8 + "Größe\n".encode(),
        "Größe\n".encode("utf-16"),
        "Größe\n".encode("utf-16-le"),
    ],
)
def test_the_text_is_read_as_editors_write_it(tmp_path, data):
    path = tmp_path / "rows.txt"
    path.write_bytes(data)
    assert read_text(path, "trace") == "Größe\n"


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FileError, match=rf"^trace {tmp_path}/none: cannot read: No such file"):
        read_text(tmp_path / "none", "trace")
    (tmp_path / "latin").write_bytes("Größe".encode("latin-1"))
    with pytest.raises(FileError, match=rf"^session file {tmp_path}/latin: .*UTF-8"):
        read_text(tmp_path / "latin", "session file")
