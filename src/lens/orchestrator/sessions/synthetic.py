"""Synthetic sessions: the same seed gives the same words, pauses and answers.

Each turn has words of its own (--turn-tokens) and an answer of the length that is asked for, so that both kinds of
history work. What tools return is sent as the user's message: no model has to know the tools.
"""

from __future__ import annotations

import random

from lens.config.settings import PromptConfig, SessionConfig
from lens.orchestrator.sessions.pauses import parse_pauses, parse_tools
from lens.orchestrator.sessions.session import Message, Session, Turn, linear_session
from lens.orchestrator.synthetic import MOST_TURNS, lengths, made_up

DEFAULT_TURN_TOKENS = "200"
# Of a recorded answer, where nobody says how long answers are.
ANSWER_TOKENS = "150"


def turn_counts(spec: str, count: int, seed: int = 0) -> list[int]:
    """Return how many turns each of `count` sessions has, from "5", "2-10" or "5:2".

    Raises:
        ConfigError: it is none of these, or more than MOST_TURNS.
    """
    return lengths(spec, count, seed, option="--turns", most=MOST_TURNS, what="turns a session")


def made_up_sessions(config: SessionConfig, prompts: PromptConfig, *, count: int, seed: int) -> tuple[Session, ...]:
    """Return `count` sessions of the turns, lengths, pauses and tools that the settings ask for.

    Raises:
        ConfigError: one of them cannot be read.
    """
    turns = turn_counts(config.turns or "1", count, seed)
    total = sum(turns)
    sizes = lengths(config.turn_tokens or DEFAULT_TURN_TOKENS, total, seed + 2, option="--turn-tokens")
    answer_sizes = lengths(prompts.output_tokens or ANSWER_TOKENS, total, seed + 3, option="--output-tokens")
    texts = made_up(sizes, seed=seed)
    answers = made_up(answer_sizes, seed=seed + 1)
    shared = made_up([prompts.shared_prefix_tokens], seed=seed, prefix_tokens=prompts.shared_prefix_tokens)[0]
    pauses = parse_pauses(config.think)
    share, draw_tool = parse_tools(config.tools) if config.tools else (0.0, None)
    generator = random.Random(f"{seed} tools")
    found, at = [], 0
    for number, many in enumerate(turns):
        made = []
        for place in range(many):
            by_tool = place > 0 and draw_tool is not None and generator.random() < share
            first: list[Message] = [{"role": "system", "content": shared}] if shared and place == 0 else []
            made.append(
                Turn(
                    messages=(*first, {"role": "user", "content": texts[at]}),
                    answer={"role": "assistant", "content": answers[at]},
                    think_ns=pauses.draw(generator) if pauses.draw and place and not by_tool else 0,
                    tool_ns=draw_tool(generator) if by_tool and draw_tool else 0,
                    max_tokens=answer_sizes[at] if prompts.output_tokens else None,
                )
            )
            at += 1
        found.append(linear_session(f"session-{number}", made))
    return tuple(found)
