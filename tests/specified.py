"""The code blocks of the specification: commands, configurations and outputs as they are printed there.

Programs are those of the specification, which has them in Rust, written in Python name by name.
"""

COMMANDS = {
    "single request profiling": """\
llm-latency-lens profile \\
  --provider openai \\
  --model gpt-4 \\
  --prompt "Explain quantum computing"
""",
    "provider comparison": """\
llm-latency-lens compare \\
  --providers openai,anthropic,google \\
  --models gpt-4,claude-4.1-sonnet,gemini-pro \\
  --prompt "Generate a Python function to calculate Fibonacci" \\
  --iterations 20 \\
  --export json
""",
    "test-bench in ci": """\
llm-latency-lens profile \\
  --provider openai \\
  --model gpt-4 \\
  --test-file tests/prompts.json \\
  --export prometheus \\
  --threshold-ttft 500 \\
  --threshold-tps 20
""",
    "performance baseline": """\
llm-latency-lens benchmark \\
  --provider openai \\
  --model gpt-4 \\
  --prompt-file .github/test-prompts.txt \\
  --iterations 10 \\
  --export json \\
  --output baseline.json
""",
    "performance thresholds": """\
llm-latency-lens analyze baseline.json \\
  --threshold ttft_p95<1000 \\
  --threshold tokens_per_second>15 \\
  --threshold cost_per_request<0.05
""",
    "mvp profile": 'llm-latency-lens profile --provider openai --model gpt-4 --prompt "Hello"',
    "mvp benchmark": "llm-latency-lens benchmark --provider anthropic --model claude-4.1 --iterations 10",
    "beta compare": """\
llm-latency-lens compare \\
  --providers openai,anthropic,google \\
  --models gpt-4,claude-4.1,gemini-pro \\
  --export csv
""",
    "v1 analyze": "llm-latency-lens analyze historical-data.jsonl --sla sla-config.yaml",
}
# They last a minute and more.
LONG_COMMANDS = {
    "constant rate test": """\
llm-latency-lens benchmark \\
  --provider anthropic \\
  --model claude-4.1-sonnet \\
  --prompt-file prompts.txt \\
  --rate 10 \\
  --duration 60s \\
  --export prometheus \\
  --output results.prom
""",
    "beta benchmark": """\
llm-latency-lens benchmark \\
  --config production-baseline.toml \\
  --export prometheus \\
  --push-gateway http://observatory:9091
""",
    "v1 optimize": "llm-latency-lens optimize --recommend-provider --criteria latency,cost",
}
MONITOR = "llm-latency-lens monitor --config monitor.yaml"
MONITOR_OF_KUBERNETES = [
    "monitor", "--config=/config/monitor-config.yaml", "--export-prometheus=http://prometheus:9090",
]  # fmt: skip

CONFIG = """\
# llm-latency-lens.toml
[profile]
name = "production-baseline"
description = "Standard performance baseline for production comparison"

[providers.openai]
model = "gpt-4"
api_key_env = "OPENAI_API_KEY"
base_url = "https://api.openai.com/v1"
temperature = 0.7
max_tokens = 500

[providers.anthropic]
model = "claude-4.1-sonnet"
api_key_env = "ANTHROPIC_API_KEY"
base_url = "https://api.anthropic.com/v1"

[test_pattern]
type = "constant_rate"
requests_per_second = 5.0
duration_seconds = 120
prompts_file = "test-prompts.txt"

[export]
format = "prometheus"
file = "metrics.prom"
real_time = true

[thresholds]
ttft_p95_ms = 1000.0
ttft_p99_ms = 2000.0
tokens_per_second_min = 15.0
success_rate_min = 0.99
cost_per_request_max = 0.10
"""

MONITOR_CONFIG = """\
# monitor-config.yaml
providers:
  - name: openai
    model: gpt-4
    api_key: ${OPENAI_API_KEY}
  - name: anthropic
    model: claude-4.1-sonnet
    api_key: ${ANTHROPIC_API_KEY}

monitoring:
  interval: 60s
  test_prompts:
    - "Hello, how are you?"
    - "Explain photosynthesis briefly."

export:
  - type: prometheus
    endpoint: http://prometheus:9090
  - type: influxdb
    endpoint: http://influxdb:8086
    database: llm_metrics
"""

ENVIRONMENT = """\
# API Keys
export OPENAI_API_KEY="sk-..."
export ANTHROPIC_API_KEY="sk-ant-..."
export GOOGLE_API_KEY="..."

# Configuration
export LLL_CONFIG_FILE="/path/to/config.toml"
export LLL_EXPORT_FORMAT="prometheus"
export LLL_OUTPUT_DIR="./results"

# Runtime
export LLL_LOG_LEVEL="info"
export LLL_CONCURRENCY=10
"""

# Command -> its options in the reference.
REFERENCE = {
    "profile": "--provider --model --prompt --prompt-file --api-key --export --output",
    "benchmark": "--iterations --rate --duration --concurrent --sweep-min --sweep-max --sweep-step --prompt-file "
    "--export --output --real-time --provider --model",
    "compare": "--providers --models --prompt --iterations --export --output",
    "monitor": "--config",
    "analyze": "--config",
    "optimize": "--config",
}

REQUEST_JSON = """\
{
  "request_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
  "provider": "openai",
  "model": "gpt-4",
  "timestamp": "2025-11-07T18:30:00Z",
  "ttfb_ms": 124.3,
  "ttft_ms": 342.7,
  "total_latency_ms": 2847.1,
  "input_tokens": 42,
  "output_tokens": 187,
  "tokens_per_second": 35.8,
  "input_cost": 0.00126,
  "output_cost": 0.01122,
  "total_cost": 0.01248,
  "status": "Success"
}
"""
CSV_HEAD = (
    "timestamp,provider,model,ttfb_ms,ttft_ms,total_latency_ms,input_tokens,output_tokens,tokens_per_second,"
    "total_cost,status"
)
PROMETHEUS = """\
# HELP llm_latency_lens_ttft_ms Time to first token
# TYPE llm_latency_lens_ttft_ms histogram
llm_latency_lens_ttft_ms_bucket{provider="openai",model="gpt-4",le="100"} 3
llm_latency_lens_ttft_ms_bucket{provider="openai",model="gpt-4",le="500"} 47
llm_latency_lens_ttft_ms_bucket{provider="openai",model="gpt-4",le="+Inf"} 50
llm_latency_lens_ttft_ms_sum{provider="openai",model="gpt-4"} 17234.5
llm_latency_lens_ttft_ms_count{provider="openai",model="gpt-4"} 50
# TYPE llm_latency_lens_tokens_per_second gauge
llm_latency_lens_tokens_per_second{provider="openai",model="gpt-4"} 32.5
# TYPE llm_latency_lens_cost_per_request histogram
llm_latency_lens_cost_per_request_bucket{provider="anthropic",model="claude-4.1",le="0.01"} 23
llm_latency_lens_cost_per_request_sum{provider="anthropic",model="claude-4.1"} 1.47
llm_latency_lens_cost_per_request_count{provider="anthropic",model="claude-4.1"} 100
"""
INFLUX = (
    "llm_request,provider=openai,model=gpt-4 ttft_ms=342.5,itl_ms=28.3,tokens_per_second=35.7,cost=0.0089 "
    "1699564800000000000"
)

PROGRAMS = {
    "embedded profiling": """\
import asyncio
from lens import Profiler, ProviderConfig, RequestConfig

async def test_chat_endpoint_performance():
    profiler = Profiler(ProviderConfig.openai("gpt-4"))

    metrics = await profiler.profile_request(
        "Test prompt",
        RequestConfig(),
    )

    # Assert performance requirements
    assert metrics.ttft_ms < 500.0, "TTFT too high"
    assert metrics.tokens_per_second > 20.0, "Throughput too low"

asyncio.run(test_chat_endpoint_performance())
""",
    "metrics export": """\
import asyncio
from lens import Profiler, ProviderConfig
from lens.exporters import PrometheusExporter

profiler = Profiler(ProviderConfig.openai("gpt-4"))

async def main():
    exporter = PrometheusExporter("http://observatory:9091")

    async for metrics in profiler.stream_metrics("Hello", iterations=3):
        await exporter.push_metrics(metrics)
    await exporter.aflush()
    assert exporter.pushed == 3

asyncio.run(main())
""",
    "model selection": """\
import asyncio
from lens.analyzer import Criteria, ModelComparator

test_prompts = ["Hello", "How are you?"]

async def main():
    comparator = ModelComparator()
    results = await comparator.compare_models([
        "gpt-4",
        "claude-4.1-sonnet",
        "gemini-pro",
    ], test_prompts)

    # Select model with best cost/performance ratio
    optimal = results.optimal_by_criteria(
        Criteria.LatencyUnder(500.0)
            .and_(Criteria.CostBelow(0.01))
            .and_(Criteria.ThroughputAbove(20.0))
    )
    assert optimal.recommended_config.model in ("gpt-4", "claude-4.1-sonnet", "gemini-pro"), optimal.reasoning

asyncio.run(main())
""",
    "decision matrix": """\
from lens import Profiler, ProviderConfig
from lens.analyzer import RecentMetrics, Requirements

class AutoOptimizer:
    def __init__(self, latency_lens_client):
        self.latency_lens_client = latency_lens_client

    def select_provider(self, requirements):
        latency_data = self.latency_lens_client.get_recent_metrics()

        match requirements:
            case Requirements.InteractiveLowLatency:
                # Choose fastest TTFT, cost-secondary
                return latency_data.optimal_by(lambda m: m.ttft_stats.median)
            case Requirements.BatchHighThroughput:
                # Choose highest tokens/second
                return latency_data.optimal_by(lambda m: m.avg_tokens_per_second)
            case Requirements.CostOptimized:
                # Choose lowest cost meeting minimum quality
                return (latency_data
                    .filter(lambda m: m.ttft_stats.p95 < 1000.0)
                    .optimal_by(lambda m: m.avg_cost_per_request))

recent = RecentMetrics()
for target in (ProviderConfig.openai("gpt-4"), ProviderConfig.google("gemini-pro")):
    recent.follow(Profiler(target).stream_metrics("Hello", iterations=3))
optimizer = AutoOptimizer(recent)
for requirements in Requirements:
    assert optimizer.select_provider(requirements).provider in ("openai", "google")
assert optimizer.select_provider(Requirements.CostOptimized).provider == "google"
""",
    "library integration": """\
import asyncio
import os
from lens import Profiler, ProviderConfig

async def main():
    profiler = (Profiler.builder()
        .provider(ProviderConfig.openai("gpt-4"))
        .api_key(os.environ["OPENAI_API_KEY"])
        .build())

    metrics = await profiler.profile_request("Test prompt")

    print(f"TTFT: {metrics.ttft_ms:.2f}ms")
    print(f"Throughput: {metrics.tokens_per_second:.2f} tokens/sec")
    print(f"Cost: ${metrics.total_cost:.4f}")

asyncio.run(main())
""",
    "provider adapter": """\
import asyncio
from lens import AnthropicAdapter, GenericOpenAIAdapter, OpenAIAdapter, PricingModel, RateLimits, RequestConfig

async def main():
    for adapter in (OpenAIAdapter("gpt-4"), AnthropicAdapter("claude-4.1")):
        metrics = await adapter.send_request("Hello", RequestConfig())
        assert metrics.status == "Success"
        assert adapter.supports_streaming()
        pricing = adapter.get_pricing()
        assert isinstance(pricing, PricingModel), adapter.target
        assert pricing.input_cost_per_million < pricing.output_cost_per_million
        limits = adapter.get_rate_limits()
        assert isinstance(limits, RateLimits)
        limits.requests_per_minute, limits.tokens_per_minute, limits.tokens_per_day
    # No cost tracking for local/custom endpoints
    assert GenericOpenAIAdapter("llama", base_url="http://localhost:8000/v1").get_pricing() is None

asyncio.run(main())
""",
    "data model": """\
from lens import BenchmarkSummary, LatencyStats, OutputConfig, OutputFormat, ProfileConfig, ProviderConfig, TestPattern
from lens import run_config_blocking
from lens.integrations.testbench import Severity, TestBenchReport, ThresholdViolation, report_of

for pattern in (
    TestPattern.Single(prompt="Hello"),
    TestPattern.ConstantRate(prompt="Hello", requests_per_second=20.0, duration_seconds=1),
    TestPattern.Burst(prompt="Hello", concurrent_requests=2, iterations=2),
    TestPattern.Sweep(prompt="Hello", min_rps=10.0, max_rps=20.0, step=10.0, duration_per_step=1),
):
    config = ProfileConfig(
        provider=ProviderConfig(name="openai", api_key="sk-none", base_url=None, model="gpt-4", temperature=0.7,
                                max_tokens=50),
        test_pattern=pattern,
        output=OutputConfig(format=OutputFormat.JsonLines, file=f"{type(pattern).__name__}.jsonl", real_time=False),
    )
    result = run_config_blocking(config)
    report = report_of(result.table, info=result.info)
    summary = report.performance_metrics
    assert isinstance(summary, BenchmarkSummary)
    for name in ("test_config", "start_time", "end_time", "total_requests", "successful_requests", "failed_requests",
                 "avg_tokens_per_second", "avg_requests_per_second", "total_cost", "avg_cost_per_request",
                 "total_input_tokens", "total_output_tokens", "requests"):
        assert getattr(summary, name) is not None, name
    for stats in (summary.ttft_stats, summary.itl_stats, summary.total_latency_stats):
        assert isinstance(stats, LatencyStats)
        assert stats.min <= stats.median <= stats.p95 <= stats.p99 <= stats.max
    metrics = summary.requests[0]
    for name in ("request_id", "provider", "model", "timestamp", "ttfb_ms", "ttft_ms", "total_latency_ms",
                 "token_timings", "input_tokens", "output_tokens", "thinking_tokens", "tokens_per_second",
                 "input_cost", "output_cost", "thinking_cost", "total_cost", "dns_resolution_ms",
                 "tcp_connection_ms", "tls_handshake_ms", "status", "error"):
        assert name in metrics or name == "token_timings", name
ThresholdViolation(test_case_id="a", metric="ttft_ms", expected=500.0, actual=600.0, severity=Severity.ERROR)
assert TestBenchReport.read
""",
}
