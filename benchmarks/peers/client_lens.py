"""This instrument, in the same words."""

import resource
import sys

import stamped
import trio

from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.model import CONTENT
from lens.orchestrator.engine import run_plan
from lens.orchestrator.plan import make_plan
from lens.wire import Prompt


def main() -> None:
    url, requests = sys.argv[1], int(sys.argv[2])
    before = resource.getrusage(resource.RUSAGE_SELF)
    target = TargetConfig(provider="simulator", model="peer", base_url=f"{url}/v1", proxy="")
    prompts = [Prompt(text="tick", id=name, extra_body={"model": name}) for name in map(str, range(requests))]
    load = LoadConfig(iterations=requests, rate_per_s=float(requests))
    plan = make_plan(RunConfig(targets=(target,), load=load, prompts=PromptConfig()), {}, prompts=prompts)
    records = []
    trio.run(lambda: run_plan(plan, on_record=records.append))
    stamped.tell([told(record) for record in records], before)


def told(record) -> dict:
    events = record.events
    tokens = [
        record.stamps.start + int(arrived)
        for arrived, signals, chars in zip(events.arrived_ns, events.signals, events.chars, strict=True)
        if signals & int(CONTENT) and chars
    ]
    if record.failure:
        return {"id": record.prompt_id, "error": record.failure.message}
    return {"id": record.prompt_id, "start": record.stamps.send_start, "tokens": tokens}


main()
