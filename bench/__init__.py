"""Benchmarks, each with the question it answers. `python -m bench [NAME…] [--write]`; results: bench/RESULTS.md."""
