"""Benchmarks: CPU seconds of crmcore beside those of the bare driver, in the same run."""
