"""How many inputs the fuzz tests have tried: each says it of itself, and the end of the run says it of all."""

INPUTS = "fuzz inputs"  # the property of a test


def executed_units(said: str) -> int:
    """Return how many inputs libFuzzer says it has run (-print_final_stats=1)."""
    return int(said.partition("stat::number_of_executed_units:")[2].split()[0])


def inputs_of(reports) -> int:
    """Return how many inputs the tests of these reports have tried."""
    return sum(value for report in reports for name, value in report.user_properties if name == INPUTS)
