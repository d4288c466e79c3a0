"""What the benchmarks share: a server's own state, programs watched from outside, the printed lines."""
