"""Fetchers that are wrong on purpose and fetchers that are right, to prove the checks with."""
