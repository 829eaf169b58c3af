"""The only truth about jobs and computations, in Redis: records, pictures in pieces, events, leases, limits.

Each change of state is one Lua script (`workers.jobs.script`), so that a record, its event, its place in the queue
and its bytes never disagree. A worker's writes carry the attempt it was given and are refused once another holds it
(fencing). It sends and receives no Celery message and never looks inside a picture.
"""

from __future__ import annotations

from workers.jobs.store_admission import Admission
from workers.jobs.store_checkpoints import Checkpoints
from workers.jobs.store_clients import Clients
from workers.jobs.store_execution import Execution
from workers.jobs.store_rates import Rates
from workers.jobs.store_reading import Reading
from workers.jobs.store_reports import Reports


class Store(Admission, Reading, Execution, Checkpoints, Reports, Rates, Clients):
    """Everything the gateway and the workers know of each other. Safe to share between threads.

    `breaker_s`: after a time-out, further calls fail at once for so long; the gateway sets it so that a Redis that
    hangs does not tie up its threads.
    """
