"""Benchmarks: each number stands beside the original's way or a peer, measured in the same run."""
