"""Made-up answers for a monitor that lives in virtual time."""

from array import array

from lens.model import Events, Failure, Record, Signal, Stamps, Status, Usage

MS = 1_000_000
TEXT = int(Signal.TEXT)


def answer(
    number=0, *, ttft_ms=100.0, ok=True, tokens=10, provider="openai", model="gpt-4", at="2026-01-01T00:00:00.000000Z"
):
    """A Record with `tokens` tokens, 10 ms apart, the first after `ttft_ms`."""
    start = 10**12 + number * MS
    arrived = [round(ttft_ms * MS) + 10 * MS * k for k in range(tokens)] if ok else []
    return Record(
        request_id=str(number),
        index=number,
        provider=provider,
        model=model,
        timestamp=at,
        stamps=Stamps(start=start, send_start=start, send_end=start, end=start + (arrived[-1] if arrived else 0) + MS),
        status=Status.SUCCESS if ok else Status.SERVER_ERROR,
        category="success" if ok else "server_error",
        failure=None if ok else Failure(message="HTTP 500: no"),
        usage=Usage(input_tokens=5, output_tokens=tokens) if ok else None,
        token_source="usage" if ok else None,
        events=Events(
            arrived_ns=array("q", arrived),
            lag_ns=array("q", [0] * len(arrived)),
            signals=array("H", [TEXT] * len(arrived)),
            chars=array("I", [4] * len(arrived)),
            read=array("I", range(len(arrived))),
        ),
        stamp_kind="kernel",
    )
