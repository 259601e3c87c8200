"""Result files in the formats of other load-testing tools."""
