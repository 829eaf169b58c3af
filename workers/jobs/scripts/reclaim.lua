-- Takes a running computation back from `owner`, or, where that is empty, from whoever's lease has ended. It is queued
-- again, but ends where it was cancelled, is over time, or lost its worker for the max_losses-th time (0: no blame).
-- Answers {queued | failed | cancelled, operation, model, error, lane}, or kept in the first place where nothing was done.
local comp, owner, result_ttl_s, tombstone_s = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local max_losses, lost_error, timeout_error = tonumber(ARGV[5]), ARGV[6], ARGV[7]
local key = P .. 'comp:' .. comp
local record = redis.call('HMGET', key, 'state', 'owner', 'deadline', 'cancel', 'operation', 'model')
local operation, model = record[5], record[6]
local lane = holder_of(comp)
local kept = {'kept', '', '', '', lane}
if record[1] ~= 'running' then
  redis.call('ZREM', P .. 'running', comp)
  return kept
end
local lease_end = tonumber(redis.call('ZSCORE', P .. 'running', comp) or '0')
if (owner == '' and lease_end > NOW) or (owner ~= '' and owner ~= record[2]) then return kept end
allow_writes_when_full()
local function ended(state, error)
  finish(comp, read_to_finish(comp), jobs_of(comp), state, result_ttl_s, tombstone_s, 0, error)
  return {state, operation, model, error, lane}
end
if record[4] == '1' then return ended('cancelled', '') end
if NOW >= tonumber(record[3]) then return ended('failed', timeout_error) end
if max_losses > 0 and redis.call('HINCRBY', key, 'losses', 1) >= max_losses then return ended('failed', lost_error) end
give_back_turn(comp, queue_again(comp))
return {'queued', operation, model, '', lane}
