"""Makes src/lens/pricing/prices.json from the genai-prices package (MIT, Pydantic Services Inc.).

    pip install genai-prices litellm --no-deps litellm   # the second only for --compare
    python tools/make_prices.py [--compare model_prices_and_context_window_backup.json]

Run before a release. With --compare it lists the models whose base prices differ from litellm's table.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from genai_prices.data import providers

GOAL = Path(__file__).parents[1] / "src" / "lens" / "pricing" / "prices.json"
# Our provider's name -> theirs. OpenRouter is left out: it reports what it billed.
SHOPS = {
    "openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "google": "google",
    "bedrock": "aws",
    "deepseek": "deepseek",
    "groq": "groq",
    "mistral": "mistral",
    "xai": "x-ai",
    "together": "together",
    "fireworks": "fireworks",
    "cohere": "cohere",
}
ALSO = {
    "azure": ["openai", "anthropic", "deepseek", "xai"],
    "vertex": ["google", "anthropic"],
    "bedrock": ["anthropic"],
}
RATES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "thinking",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
}
CLAUSES = {"equals": "is", "starts_with": "starts", "ends_with": "ends", "contains": "has", "regex": "regex"}


def clause(match):
    for field in ("or_", "and_"):
        if hasattr(match, field):
            return [field.rstrip("_"), *[clause(one) for one in getattr(match, field)]]
    ((field, text),) = vars(match).items()
    return [CLAUSES[field], text]


def rate(prices, constraint=None, tier=None):
    out, above = {}, {}
    for theirs, ours in RATES.items():
        value = getattr(prices, theirs, None)
        if value is None:
            continue
        out[ours] = str(getattr(value, "base", value))
        for step in getattr(value, "tiers", ()):
            above.setdefault(step.start, {})[ours] = str(step.price)
    if above:
        out["above"] = [{"input_tokens": start, **rates} for start, rates in sorted(above.items())]
    if constraint is not None and hasattr(constraint, "start_date"):
        out["since"] = constraint.start_date.isoformat()
    elif constraint is not None:
        out["hours"] = [t.replace(tzinfo=None).isoformat() for t in (constraint.start_time, constraint.end_time)]
    if tier:
        out["tier"] = tier
    return out


def model(info):
    standard = info.prices if isinstance(info.prices, list) else None
    rates = [rate(one.prices, one.constraint) for one in standard] if standard else [rate(info.prices)]
    for variant in info.price_variants or ():
        tier = variant.when.get("service_tier") or variant.when.get("processing") or variant.when.get("speed")
        priced = rate(variant.prices, variant.constraint, tier)
        if tier and tier != "default" and len(variant.when) == 1 and priced.keys() & set(RATES.values()):
            rates.append(priced)
    return {"id": info.id, "match": clause(info.match), "rates": rates}


def compare(table, path):
    theirs = json.loads(Path(path).read_text())
    differ = 0
    for name, shop in table["shops"].items():
        for one in shop.get("models", ()):
            other = theirs.get(one["id"]) or theirs.get(f"{SHOPS.get(name, name).replace('-', '')}/{one['id']}")
            if not other or "input_cost_per_token" not in other:
                continue
            ours = [
                float(one["rates"][-1 if "since" in one["rates"][-1] else 0].get(k, 0)) for k in ("input", "output")
            ]
            others = [round(other.get(f"{k}_cost_per_token", 0) * 1e6, 6) for k in ("input", "output")]
            if ours != others:
                differ += 1
                print(f"{name}/{one['id']}: genai-prices {ours}, litellm {others}")
    print(f"{differ} models differ", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compare", metavar="FILE")
    options = parser.parse_args()
    by_id = {provider.id: provider for provider in providers}
    shops = {
        ours: {
            "models": [model(info) for info in by_id[theirs].models],
            **({"also": ALSO[ours]} if ours in ALSO else {}),
        }
        for ours, theirs in SHOPS.items()
    }
    shops["vertex"] = {"also": ALSO["vertex"]}
    for shop in shops.values():
        shop["models"] = [m for m in shop.get("models", ()) if "input" in m["rates"][0]]
    table = {
        "source": f"genai-prices {version('genai-prices')}",
        "licence": "MIT, Copyright (c) Pydantic Services Inc.",
        "checked": datetime.now(UTC).date().isoformat(),
        "shops": shops,
    }
    if options.compare:
        compare(table, options.compare)
    else:
        rows = ",\n".join(
            f'"{name}":{{"also":{json.dumps(shop.get("also", []))},"models":[\n'
            + ",\n".join(json.dumps(m, separators=(",", ":"), ensure_ascii=False) for m in shop["models"])
            + "]}"
            for name, shop in shops.items()
        )
        head = json.dumps({k: v for k, v in table.items() if k != "shops"})[:-1]
        GOAL.write_text(f'{head}, "shops": {{\n{rows}\n}}}}\n', encoding="utf-8")
        print(f"{GOAL}: {sum(len(s['models']) for s in shops.values())} models, {GOAL.stat().st_size} bytes")


if __name__ == "__main__":
    main()
