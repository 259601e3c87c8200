"""Writes a GGUF file small enough to make in a second: a llama with random weights and plain words.

    python tiny_model.py FILE

Nothing is learnt, so the answers mean nothing; the file, the tokenizer and the server that
loads it are real. The seed is fixed: every run serves the same model.
"""

from __future__ import annotations

import itertools
import sys

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, INNER, CONTEXT = 64, 2, 4, 128, 4096
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # token types of the GGUF format

WORDS = ["\u2581" + "".join(part) for part in itertools.product("bdfgklmnprstv", "aeiou", "lnrst")]


def vocabulary() -> tuple[list[bytes], list[int], list[float]]:
    """Tokens, types and scores: three control tokens, all bytes, printable ASCII, and words."""
    tokens = [b"<unk>", b"<s>", b"</s>"]
    types = [UNKNOWN, CONTROL, CONTROL]
    scores = [0.0] * 3
    for group, kind, score in (
        ([f"<0x{byte:02X}>" for byte in range(256)], BYTE, -1000.0),
        ([chr(code) for code in range(32, 127)], NORMAL, -10.0),
        (WORDS, NORMAL, -1.0),
    ):
        tokens += [text.encode() for text in group]
        types += [kind] * len(group)
        scores += [score] * len(group)
    return tokens, types, scores


def write_model(path: str) -> None:
    """The whole model, about 0.6 MB."""
    tokens, types, scores = vocabulary()
    rng = np.random.default_rng(20240601)

    def weights(*shape: int, scale: float = 0.05) -> np.ndarray:
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}{{ m.content }} {% endfor %}")

    # Only words may win: the rows of every other token are zero, so no answer ends early.
    output = weights(len(tokens), WIDTH, scale=2.0)
    output[: len(tokens) - len(WORDS)] = 0.0
    writer.add_tensor("token_embd.weight", weights(len(tokens), WIDTH, scale=1.0))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output.weight", output)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}{name}.weight", weights(WIDTH, WIDTH))
        for name in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"{block}{name}.weight", weights(INNER, WIDTH))
        writer.add_tensor(f"{block}ffn_down.weight", weights(WIDTH, INNER))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write_model(sys.argv[1])
