"""`python -m benchmarks`: Bonfire beside other job systems, measured in one run.

workload.py   the jobs, the same for every system
systems/      one adapter per system: how to empty its store, enqueue, start it, and see it done
stores.py     the databases and a Redis of our own
step.py       a process that does one step with a system (enqueue, wait, …)
harness.py    starts steps and worker groups, and ends them
measures/     one file per measure
goals.py      what is to be reached
report.py     docs/benchmarks.md out of the results
"""
