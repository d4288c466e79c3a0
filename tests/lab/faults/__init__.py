"""What breaks in the middle of an operation: each ends with one true verdict, and none ran twice.

`scenarios` lists what is tried, `trial` is how an operation is tried, `victims` whom to kill and `breakages`
what else may go wrong; `evidence` is what QEMU and the guest themselves say was done. `script/faults` runs
all of it and prints a table; the tests here run a sample.
"""
