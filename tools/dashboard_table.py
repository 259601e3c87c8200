"""What the dashboards show: DASHBOARDS, a line a panel. tools/make_dashboards.py gives all of them one form.

Queries use names in milliseconds, as `lll` exports them by default, and what deploy/prometheus/recording.yml
records. Rates are taken over $window, because a monitor that asks once a minute has nothing to say of 15 s.
"""

from typing import NamedTuple

P = "llm_latency_lens_"
ONES = '{provider=~"$provider", model=~"$model"}'
BY = "sum by (provider, model, target)"
TARGET = "{{target}}"
# What we stopped ourselves says nothing of the provider.
ASKED = '{provider=~"$provider", model=~"$model", status!="Cancelled"}'
FAILED = '{provider=~"$provider", model=~"$model", status!~"Success|Cancelled"}'
MISS = "provider_model:llm_sla_misses:ratio_rate"  # recorded by deploy/prometheus/recording.yml
GREEN, YELLOW, RED = "green", "yellow", "red"


class Query(NamedTuple):
    expr: str
    legend: str = TARGET


class Panel(NamedTuple):
    title: str
    kind: str  # Grafana's type
    unit: str
    says: str
    queries: tuple[Query, ...]
    width: int = 8  # of 24
    steps: tuple[tuple[float, str], ...] = ()  # from this value on, this color
    most: float | None = None  # end of the scale


def quantile(q, name, window="$window", by="provider, model, target"):
    return f"histogram_quantile({q}, sum by ({by}, le) (rate({P}{name}_bucket{ONES}[{window}])))"


def quantiles(name, *qs):
    return tuple([Query(quantile(q, name), f"p{q * 100:g} {TARGET}") for q in qs])


def rate(name, window="$window", ones=ONES):
    return f"{BY} (rate({P}{name}{ones}[{window}]))"


def mean(name, window="$window"):
    return f"{rate(f'{name}_sum', window)} / {rate(f'{name}_count', window)}"


def heat(name):
    return (Query(f"sum by (le) (increase({P}{name}_bucket{ONES}[$__rate_interval]))", "{{le}}"),)


def failures(window="$window"):
    return f"({rate('requests_total', window, FAILED)} or {rate('requests_total', window)} * 0) / " + rate(
        "requests_total", window, ASKED
    )


def speed(window="$window"):
    """Tokens a second while an answer comes, over all answers of the window."""
    return f"{rate('output_tokens_total', window)} / ({rate('total_latency_ms_sum', window)} / 1000)"


TTFT_STEPS = ((0, GREEN), (1000, YELLOW), (2500, RED))
ITL_STEPS = ((0, GREEN), (100, YELLOW), (250, RED))
SHARE_STEPS = ((0, GREEN), (0.01, YELLOW), (0.05, RED))
BURN_STEPS = ((0, GREEN), (1, YELLOW), (6, RED))
AGE = f"time() - max by (provider, model, target) ({P}last_request_timestamp_seconds{ONES})"

LATENCY = {
    "Now": (
        Panel(
            "TTFT p95",
            "stat",
            "ms",
            "95 of 100 first tokens came sooner.",
            (Query(quantile(0.95, "ttft_ms")),),
            4,
            TTFT_STEPS,
        ),
        Panel(
            "ITL p95",
            "stat",
            "ms",
            "95 of 100 gaps between tokens were shorter.",
            (Query(quantile(0.95, "itl_ms")),),
            4,
            ITL_STEPS,
        ),
        Panel(
            "Speed", "stat", "suffix:tokens/s", "Output tokens a second while an answer comes.", (Query(speed()),), 4
        ),
        Panel(
            "Failed",
            "stat",
            "percentunit",
            "Requests that failed; those we stopped ourselves do not count.",
            (Query(failures()),),
            4,
            SHARE_STEPS,
        ),
        Panel(
            "Cost",
            "stat",
            "currencyUSD",
            "USD an hour, at the present rate.",
            (Query(f"{rate('cost_usd_total')} * 3600"),),
            4,
        ),
        Panel("Last request", "stat", "s", "Ago.", (Query(AGE),), 4, ((0, GREEN), (300, YELLOW), (600, RED))),
    ),
    "Time to first token": (
        Panel(
            "TTFT",
            "timeseries",
            "ms",
            "Start of the request to its first token.",
            quantiles("ttft_ms", 0.5, 0.95, 0.99),
        ),
        Panel(
            "First byte and first visible token",
            "timeseries",
            "ms",
            "p95; thinking lies between first and first visible token.",
            (
                Query(quantile(0.95, "ttfb_ms"), f"first byte {TARGET}"),
                Query(quantile(0.95, "ttfo_ms"), f"visible {TARGET}"),
            ),
        ),
        Panel("TTFT, all requests", "heatmap", "ms", "How many requests fell between two bounds.", heat("ttft_ms")),
    ),
    "Between tokens": (
        Panel(
            "ITL",
            "timeseries",
            "ms",
            "Gaps between tokens, those of all streams together.",
            quantiles("itl_ms", 0.5, 0.95, 0.99),
        ),
        Panel(
            "TPOT",
            "timeseries",
            "ms",
            "Time per output token after the first, a figure for each request.",
            quantiles("tpot_ms", 0.5, 0.95),
        ),
        Panel("ITL, all gaps", "heatmap", "ms", "How many gaps fell between two bounds.", heat("itl_ms")),
    ),
    "Throughput": (
        Panel(
            "Speed", "timeseries", "suffix:tokens/s", "Output tokens a second while an answer comes.", (Query(speed()),)
        ),
        Panel(
            "Speed, mean of requests",
            "timeseries",
            "suffix:tokens/s",
            "Mean over all requests since the monitor began.",
            (Query(f"avg by (provider, model, target) ({P}tokens_per_second{ONES})"),),
        ),
        Panel(
            "Tokens",
            "timeseries",
            "suffix:tokens/min",
            "Of prompts and of answers, as the server counts them.",
            (
                Query(f"{rate('input_tokens_total')} * 60", f"in {TARGET}"),
                Query(f"{rate('output_tokens_total')} * 60", f"out {TARGET}"),
            ),
        ),
    ),
    "Requests": (
        Panel(
            "Requests",
            "timeseries",
            "suffix:requests/min",
            "By how they ended.",
            (Query(f"sum by (status) (rate({P}requests_total{ONES}[$window])) * 60", "{{status}}"),),
        ),
        Panel(
            "Whole answer",
            "timeseries",
            "ms",
            "Start of the request to the end of its answer.",
            quantiles("total_latency_ms", 0.5, 0.95),
        ),
        Panel(
            "New connections and retries",
            "timeseries",
            "ms",
            "p95 of lookup, connect and handshake; retries a minute.",
            (*quantiles("connect_ms", 0.95), Query(f"{rate('retries_total')} * 60", f"retries/min {TARGET}")),
        ),
    ),
}

COST = {
    "Cost": (
        Panel(
            "Spent",
            "stat",
            "currencyUSD",
            "In the time shown.",
            (Query(f"{BY} (increase({P}cost_usd_total{ONES}[$__range]))"),),
            6,
        ),
        Panel(
            "A month at this rate",
            "stat",
            "currencyUSD",
            "30 days.",
            (Query(f"{rate('cost_usd_total')} * 2592000"),),
            6,
        ),
        Panel(
            "A request",
            "stat",
            "currencyUSD",
            "Mean.",
            (Query(mean("cost_per_request")),),
            6,
            ((0, GREEN), (0.05, RED)),
        ),
        Panel(
            "A million output tokens",
            "stat",
            "currencyUSD",
            "Prompts included.",
            (Query(f"{rate('cost_usd_total')} / {rate('output_tokens_total')} * 1e6"),),
            6,
        ),
    ),
    "Course": (
        Panel(
            "USD an hour",
            "timeseries",
            "currencyUSD",
            "By provider and model.",
            (Query(f"{rate('cost_usd_total')} * 3600"),),
            12,
        ),
        Panel(
            "Cost of a request",
            "timeseries",
            "currencyUSD",
            "Mean and p95.",
            (Query(mean("cost_per_request"), f"mean {TARGET}"), *quantiles("cost_per_request", 0.95)),
            12,
        ),
    ),
}


def side_by_side(title, unit, says, expr, steps=()):
    return Panel(title, "bargauge", unit, says, (Query(expr),), 8, steps)


PROVIDERS = {
    "Side by side, over the time shown": (
        side_by_side(
            "TTFT p50", "ms", "Half of the first tokens came sooner.", quantile(0.5, "ttft_ms", "$__range"), TTFT_STEPS
        ),
        side_by_side(
            "TTFT p95", "ms", "95 of 100 first tokens came sooner.", quantile(0.95, "ttft_ms", "$__range"), TTFT_STEPS
        ),
        side_by_side(
            "ITL p95",
            "ms",
            "95 of 100 gaps between tokens were shorter.",
            quantile(0.95, "itl_ms", "$__range"),
            ITL_STEPS,
        ),
        side_by_side("Speed", "suffix:tokens/s", "Output tokens a second while an answer comes.", speed("$__range")),
        side_by_side("Cost of a request", "currencyUSD", "Mean.", mean("cost_per_request", "$__range")),
        side_by_side("Failed", "percentunit", "Requests that failed.", failures("$__range"), SHARE_STEPS),
    ),
    "Course": (
        Panel("TTFT p95", "timeseries", "ms", "By provider and model.", quantiles("ttft_ms", 0.95)),
        Panel("ITL p95", "timeseries", "ms", "By provider and model.", quantiles("itl_ms", 0.95)),
        Panel("Speed", "timeseries", "suffix:tokens/s", "By provider and model.", (Query(speed()),)),
    ),
}

SLA = {
    "Promise: the first token within 1 s, for 99 of 100 requests": (
        Panel(
            "Kept",
            "stat",
            "percentunit",
            "Over the time shown; a failed request breaks the promise.",
            (Query(f"1 - avg_over_time({MISS}5m{ONES}[$__range])"),),
            8,
            ((0, RED), (0.99, GREEN)),
        ),
        Panel(
            "Left of the error budget",
            "stat",
            "percentunit",
            "Of what 3 days may miss; below 0 the promise is broken.",
            (Query(f"1 - {MISS}3d{ONES} / 0.01"),),
            8,
            ((-100, RED), (0, YELLOW), (0.5, GREEN)),
        ),
        Panel(
            "Burn rate, 1 h",
            "stat",
            "suffix:x",
            "1 spends the budget exactly; 14.4 spends that of 30 days in 2.",
            (Query(f"{MISS}1h{ONES} / 0.01"),),
            8,
            BURN_STEPS,
        ),
        Panel(
            "Kept",
            "timeseries",
            "percentunit",
            "Share of requests with a first token within 1 s.",
            (Query(f"1 - {MISS}5m{ONES}"),),
            12,
            (),
            1,
        ),
        Panel(
            "Burn rate",
            "timeseries",
            "suffix:x",
            "Alerts want a short and a long window above 14.4, 6 or 1.",
            tuple([Query(f"{MISS}{window}{ONES} / 0.01", f"{window} {TARGET}") for window in ("5m", "1h", "6h", "3d")]),
            12,
        ),
    ),
    "Failures": (
        Panel("Failed", "timeseries", "percentunit", "Share of requests.", (Query(failures()),), 8, (), 1),
        Panel(
            "Causes",
            "timeseries",
            "suffix:failures/min",
            "By category.",
            (
                Query(
                    f"sum by (provider, category) (rate({P}errors_total{ONES}[$window])) * 60",
                    "{{provider}} {{category}}",
                ),
            ),
        ),
        Panel("Alerts", "table", "none", "Pending and firing.", (Query('ALERTS{alertname=~"llm_.*"}', ""),)),
    ),
    "The monitor itself": (
        Panel(
            "Its promises",
            "timeseries",
            "suffix:x",
            "Burn rates of the SLOs that the monitor was given.",
            (Query(f"{P}slo_burn_rate{ONES}", f"{{{{slo}}}} {{{{window}}}} {TARGET}"),),
        ),
        Panel(
            "Its alerts",
            "timeseries",
            "none",
            "How many are on; a webhook is told of each.",
            (Query(f"{P}alerts_firing{ONES}", f"{{{{alert}}}} {TARGET}"),),
        ),
        Panel(
            "Its own health",
            "timeseries",
            "none",
            "Rounds a minute, those that began late, and what waits to be pushed.",
            (
                Query(f"rate({P}monitor_rounds_total[$window]) * 60", "rounds/min {{instance}}"),
                Query(f"rate({P}monitor_rounds_late_total[$window]) * 60", "late/min {{instance}}"),
                Query(f"{P}push_waiting", "waiting for {{receiver}}"),
            ),
        ),
    ),
}

# File and uid -> title, rows
DASHBOARDS = {
    "llm-latency": ("LLM latency", LATENCY),
    "llm-cost": ("LLM cost", COST),
    "llm-providers": ("LLM providers compared", PROVIDERS),
    "llm-sla": ("LLM service levels", SLA),
}
