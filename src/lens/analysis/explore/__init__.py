"""Explore saved runs: filters, groups, SQL, trends, change points and anomalies."""
