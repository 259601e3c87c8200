"""Every reader on what libFuzzer finds, led by the lines of lens that run (atheris).

    python guided.py FOLDER [NAME] [libFuzzer's options]

Without a NAME the first byte of an input says which reader it is for. FOLDER is for files and the corpus.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lens"]):
    from readers import TARGETS, refused


def main() -> None:
    folder, *options = sys.argv[1:]
    names = list(TARGETS)
    alone = options.pop(0) if options and options[0] in TARGETS else None
    corpus, scratch = Path(folder, "corpus"), Path(folder)
    corpus.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        for which, seed in enumerate(TARGETS[name][1]):
            if alone in (None, name):
                (corpus / f"{number}-{which}").write_bytes(bytes(seed) if alone else bytes([number]) + bytes(seed))

    def one(data: bytes) -> None:
        name = alone or names[data[0] % len(names) if data else 0]
        try:
            TARGETS[name][0](data if alone else data[1:], scratch)
        except Exception as error:
            if not refused(name, error):
                print(f"{name}: {type(error).__name__}: {error}; for {data!r}", file=sys.stderr)
                raise

    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", str(corpus)], one)
    atheris.Fuzz()


main()
