-- Leases a queued computation to a worker child, as `lease_out`, which has the arguments and the answers.
allow_writes_when_full()
return lease_out(1)
