"""A tokenizer of one letter a token and a small dataset, for tools that insist on them."""

import json
import string
from pathlib import Path


def write(folder: Path) -> None:
    """As Hugging Face's libraries read it from a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = {letter: number for number, letter in enumerate(["<unk>", *string.printable])}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": letters, "unk_token": "<unk>"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "model_max_length": 100000})
    )
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "vocab_size": len(letters)}))
    turns = [{"from": "human", "value": "tick " * 4}, {"from": "gpt", "value": "tock " * 10}]
    (folder / "sharegpt.json").write_text(json.dumps([{"id": str(n), "conversations": turns} for n in range(2000)]))
