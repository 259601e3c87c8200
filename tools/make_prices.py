"""Makes src/lens/pricing/prices.json from the genai-prices package, and from litellm's list where that lacks something.

    make prices                              # both renewed from the package index, then this
    python tools/make_prices.py --litellm model_prices_and_context_window_backup.json [--compare]

Run before a release. Both lists are under the MIT licence (Pydantic Services Inc.; Berri AI). Of a model that both
know with the same base rates, litellm's adds the tiers and kinds of tokens that the other lacks. With --compare it
lists the models whose base prices differ, and writes nothing.
"""

import argparse
import json
import re
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
GOAL = ROOT / "src" / "lens" / "pricing" / "prices.json"
LIST = "litellm/model_prices_and_context_window_backup.json"
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
    "cache_audio_read_mtok": "audio_cached",
    "input_image_mtok": "image_input",
    "output_image_mtok": "image_output",
    "web_searches_kcount": "web_search",
    "storage_searches_kcount": "file_search",
}
CLAUSES = {"equals": "is", "starts_with": "starts", "ends_with": "ends", "contains": "has", "regex": "regex"}
# litellm's name of a provider -> ours. Vertex has the models of google and anthropic.
LITELLM_SHOPS = {
    "openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "gemini": "google",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "deepseek": "deepseek",
    "groq": "groq",
    "mistral": "mistral",
    "xai": "xai",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "cohere": "cohere",
    "cohere_chat": "cohere",
}
LITELLM_RATES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_token_cost_above_12hr": "cache_write_12h",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "cache_read_input_audio_token_cost": "audio_cached",
    "input_cost_per_image_token": "image_input",
    "output_cost_per_image_token": "image_output",
}
LITELLM_TIERS = {"flex": "flex", "priority": "priority", "ultrafast": "ultrafast", "batches": "batch"}
_KINDS = "|".join(sorted(LITELLM_RATES, key=len, reverse=True))
LITELLM_KEY = re.compile(rf"({_KINDS})(?:_above_(\d+)k_tokens)?(?:_({'|'.join(LITELLM_TIERS)}))?")
MODES = ("chat", "completion", "responses", "embedding", "image_generation")
# Kinds of tokens that the second list adds to rates of the first.
ADDED = ("cache_write_1h", "cache_write_12h", "audio_input", "audio_output", "audio_cached", "image_input",
         "image_output", "web_search")  # fmt: skip
BY_LITELLM = 1  # index of the source


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


def per_million(value):
    return format((Decimal(repr(value)) * 1_000_000).normalize(), "f")


def litellm_rates(entry):
    """Return {tier or None: rates} of one entry of litellm's list."""
    found = {}
    for key, value in entry.items():
        match = LITELLM_KEY.fullmatch(key)
        if match and isinstance(value, int | float):
            tier = found.setdefault(LITELLM_TIERS.get(match[3]), {})
            place = tier.setdefault("above", {}).setdefault(int(match[2]) * 1000, {}) if match[2] else tier
            place[LITELLM_RATES[match[1]]] = per_million(value)
    searches = set((entry.get("search_context_cost_per_query") or {}).values())
    if len(searches) == 1 and None in found:
        found[None]["web_search"] = format((Decimal(repr(*searches)) * 1000).normalize(), "f")
    for rates in found.values():
        if "above" in rates:
            rates["above"] = [{"input_tokens": start, **one} for start, one in sorted(rates["above"].items())]
    return found


def times(rates, factor):
    tokens = {name: str(Decimal(value) * factor) for name, value in rates.items() if name in LITELLM_RATES.values()}
    return {name: format(Decimal(value).normalize(), "f") for name, value in tokens.items()}


def ends(known, entry):
    """Note the day on which a model is shut down."""
    if entry.get("deprecation_date"):
        known.setdefault("ends", entry["deprecation_date"])
    return known


def supplement(known, entry):
    """Add to a model of the first list what the second knows besides; only where their base rates agree."""
    theirs = litellm_rates(entry)
    now = [one for one in known["rates"] if "tier" not in one][-1]
    base = theirs.get(None, {})
    if any(Decimal(now.get(name, "0")) != Decimal(base.get(name, "0")) for name in ("input", "output")):
        return
    factors = entry.get("provider_specific_entry") or {}
    if "us" in factors:
        known["regions"] = {"us": str(factors["us"])}
    if "fast" in factors:
        theirs.setdefault("fast", times(base, Decimal(str(factors["fast"]))))
    for one in known["rates"]:
        add_kinds(one, theirs.get(one.get("tier"), {}))
    have = {one.get("tier") for one in known["rates"]}
    known["rates"] += [
        {**rates, "tier": tier, "by": BY_LITELLM}
        for tier, rates in theirs.items()
        if tier not in have and "input" in rates
    ]


def add_kinds(ours, theirs):
    for name in ADDED:
        if name in theirs:
            ours.setdefault(name, theirs[name])
    twelve = {step["input_tokens"]: step.get("cache_write_12h") for step in theirs.get("above", ())}
    for step in ours.get("above", ()):
        if twelve.get(step["input_tokens"]):
            step.setdefault("cache_write_12h", twelve[step["input_tokens"]])


def new_model(name, entry):
    theirs = litellm_rates(entry)
    rates = [{**one, **({"tier": tier} if tier else {}), "by": BY_LITELLM} for tier, one in theirs.items()]
    rates.sort(key=lambda one: "tier" in one)
    factors = entry.get("provider_specific_entry") or {}
    if "fast" in factors:
        rates.append({**times(theirs[None], Decimal(str(factors["fast"]))), "tier": "fast", "by": BY_LITELLM})
    made = {"id": name, "match": ["is", name], "rates": rates}
    return {**made, "regions": {"us": str(factors["us"])}} if "us" in factors else made


def add_litellm(shops, listed):
    """Add the models and rates of the second list."""
    from lens.pricing.table import fits

    def find(shop, name):
        places = [shop, *shops[shop].get("also", ())]
        return next((m for place in places for m in shops[place]["models"] if fits(m["match"], name.lower())), None)

    for key, entry in listed.items():
        shop = LITELLM_SHOPS.get(entry.get("litellm_provider"))
        name = key.removeprefix(f"{entry.get('litellm_provider')}/")
        if shop is None or entry.get("mode") not in MODES or not entry.get("input_cost_per_token") or "/" in name:
            continue
        known = find(shop, name)
        if known is None:
            shops[shop]["models"].append(ends(new_model(name, entry), entry))
        elif known in shops[shop]["models"] and known["id"] in (name, key):
            supplement(ends(known, entry), entry)
    for alias, entry in listed.items():
        target = listed.get(entry.get("alias_of"), {})
        shop = LITELLM_SHOPS.get(target.get("litellm_provider"))
        name, named = (text.rpartition("/")[2] for text in (alias, entry.get("alias_of", "")))
        known = find(shop, named) if shop else None
        if known is not None and find(shop, name) is None:
            known["match"] = ["or", known["match"], ["is", name]]


def compare(table, listed):
    differ = 0
    for name, shop in table["shops"].items():
        for one in shop.get("models", ()):
            other = listed.get(one["id"]) or listed.get(f"{SHOPS.get(name, name).replace('-', '')}/{one['id']}")
            if not other or "input_cost_per_token" not in other:
                continue
            now = [each for each in one["rates"] if "tier" not in each][-1]
            ours = [float(now.get(k, 0)) for k in ("input", "output")]
            others = [round(other.get(f"{k}_cost_per_token", 0) * 1e6, 6) for k in ("input", "output")]
            if ours != others:
                differ += 1
                print(f"{name}/{one['id']}: genai-prices {ours}, litellm {others}")
    print(f"{differ} models differ", file=sys.stderr)


def renew(folder):
    """Fetch the newest of both lists from the package index; return litellm's version and list."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    steps = (
        [*pip, "install", "--upgrade", "genai-prices"],
        [*pip, "download", "--no-deps", "--only-binary", ":all:", "-d", str(folder), "litellm"],
    )
    for step in steps:
        if subprocess.run(step, check=False).returncode:
            day = max(source["checked"] for source in json.loads(GOAL.read_text())["sources"])
            sys.exit(f"make prices: cannot fetch {step[-1]} from the package index: is there a network?"
                     f" The book stays that of {day}.")  # fmt: skip
    wheel = max(folder.glob("litellm-*.whl"), key=lambda path: path.stat().st_mtime)
    return wheel.name.split("-")[1], json.loads(zipfile.ZipFile(wheel).read(LIST))


def make_table(listed, litellm_version):
    from genai_prices.data import providers

    from lens.providers.registry import get_provider, provider_names

    by_id = {provider.id: provider for provider in providers}
    shops = {
        ours: {
            "models": [one for info in by_id[theirs].models if "input" in (one := model(info))["rates"][0]],
            **({"also": ALSO[ours]} if ours in ALSO else {}),
        }
        for ours, theirs in SHOPS.items()
    }
    shops["vertex"] = {"models": [], "also": ALSO["vertex"]}
    today = datetime.now(UTC).date().isoformat()
    pydantic, berri = "MIT, Copyright (c) Pydantic Services Inc.", "MIT, Copyright (c) Berri AI"
    sources = [{"name": f"genai-prices {version('genai-prices')}", "licence": pydantic, "checked": today}]
    if listed:
        add_litellm(shops, listed)
        sources.append({"name": f"litellm {litellm_version}", "licence": berri, "checked": today})
    presets = [getattr(get_provider(name), "preset", None) for name in provider_names()]
    aliases = {alias: preset.name for preset in presets if preset for alias in preset.aliases}
    return {"sources": sources, "aliases": aliases, "shops": shops}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", metavar="FILE", type=Path, help="litellm's list, as its package has it")
    parser.add_argument("--litellm-version", default="unknown")
    parser.add_argument("--renew", metavar="FOLDER", type=Path, help="fetch both lists from the package index first")
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    listed, litellm_version = {}, options.litellm_version
    if options.renew:
        litellm_version, listed = renew(options.renew)
    elif options.litellm:
        listed = json.loads(options.litellm.read_text())
    table = make_table({} if options.compare else listed, litellm_version)
    if options.compare:
        compare(table, listed)
        return
    rows = ",\n".join(
        f'"{name}":{{"also":{json.dumps(shop.get("also", []))},"models":[\n'
        + ",\n".join(json.dumps(m, separators=(",", ":"), ensure_ascii=False) for m in shop["models"])
        + "]}"
        for name, shop in table["shops"].items()
    )
    head = json.dumps({k: v for k, v in table.items() if k != "shops"})[:-1]
    GOAL.write_text(f'{head}, "shops": {{\n{rows}\n}}}}\n', encoding="utf-8")
    print(f"{GOAL}: {sum(len(s['models']) for s in table['shops'].values())} models, {GOAL.stat().st_size} bytes")


if __name__ == "__main__":
    main()
