"""The service under load: where its knee is, what five minutes below it do, what faults cost, and its peers beside it.

`python -m benchmarks.load` drives; users are Locust's, in a process of their own (`users`). What is counted out of
their samples (`summary`, `knee`, `memory`, `accounts`) is arithmetic alone, and tested on drawn series.
"""
