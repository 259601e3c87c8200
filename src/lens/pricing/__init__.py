"""What a request cost: its usage times a price, in exact decimals.

An unknown price gives no cost and says why; it is never 0 and never guessed. A provider that
reports what it billed is believed before any book. Prices are USD per million tokens.
"""

from lens.pricing.book import FIXED_SET, PriceBook, standard_book
from lens.pricing.rates import Cost, Price, cost_of, parse_price
from lens.pricing.table import TIERS

__all__ = ["FIXED_SET", "TIERS", "Cost", "Price", "PriceBook", "cost_of", "parse_price", "standard_book"]
