-- How a worker child comes to its work, alone or along with the end of what it had.

-- A copy of a small picture, for the command that fetches and removes it and is sent along with the script.
local function lay_ready(key, name)
  redis.call('COPY', key, P .. name, 'REPLACE')
  redis.call('EXPIRE', P .. name, 60)
end

-- Whether each child would find one in this lane if it asked. What is being taken in counts, too, and all that runs.
local function more_wait_than_children(lane)
  local active, running = redis.call('ZCARD', P .. 'active:' .. lane), redis.call('ZCARD', P .. 'running')
  return active - running > redis.call('ZCARD', P .. 'alive')
end

-- Leases a queued computation to a worker child: the next of the lane that is `wanted`, or the one whose id that is.
-- `nonce` is of this one call: the same child with the same nonce is answered again, with another one it is a new
-- attempt. `queue`: the lane's, for a child that comes without a message and takes one off it; else empty. A picture no
-- larger than `most_bytes` is laid ready as `taken:OWNER:PLACE`. Up to `most` are leased at once, in their turns, where
-- each of them is tried for the first time and estimated at `short_s` or less, and more wait than there are children.
-- These arguments stand in ARGV from the place `first` on; after them come the names of fields of the record.
-- `is_free`: the child holds nothing.
-- Answers {attempt, seconds in the queue, the values of these fields, its jobs, its id, the same of further ones}, or
-- {0, why not}.
local function lease_out(first, is_free)
  local wanted, owner, lease_s, timeout_s, nonce, queue, most_bytes, most, short_s = unpack(ARGV, first, first + 8)
  local fields = {'state', 'owner', 'claim', 'attempt', 'created_at', 'estimate_s', 'share', unpack(ARGV, first + 9)}
  local function leased(comp, last, place)
    local key, state, attempt = P .. 'comp:' .. comp, last[1], tonumber(last[4])
    if not state then return {0, 'unknown'} end
    local is_repeated = state == 'running' and last[2] == owner  -- the answer to its claim was lost
    if state ~= 'queued' and not is_repeated then return {0, state} end
    local jobs = jobs_of(comp)
    if not is_repeated or last[3] ~= nonce then
      local has_checkpoint = attempt > 0 and redis.call('HEXISTS', P .. 'checkpoints', comp) == 1
      attempt = attempt + 1
      local deadline = NOW + tonumber(timeout_s)
      redis.call('HSET', key, 'state', 'running', 'attempt', attempt, 'owner', owner, 'claim', nonce,
                 'started_at', STAMP, 'deadline', string.format('%.6f', deadline),
                 unpack(has_checkpoint and {} or {'done', 0, 'total', 0}))
      redis.call('ZREM', P .. 'queued', comp)
      local _, cost = costs_by(last[6], last[7])
      take_turn(comp, cost)
      redis.call('ZADD', P .. 'running', math.min(NOW + tonumber(lease_s), deadline), comp)
      if queue ~= '' and not is_repeated then redis.call('RPOP', queue) end
      emit(jobs, 'state', '{"state":"running"}')
    end
    local queue_s = string.format('%.6f', NOW - tonumber(last[5]))
    local input = P .. 'in:' .. comp .. ':0'
    if redis.call('STRLEN', input) <= tonumber(most_bytes) then lay_ready(input, 'taken:' .. owner .. ':' .. place) end
    for i, job in ipairs(jobs) do jobs[i] = job.id end
    return {attempt, queue_s, {unpack(last, 8, #fields)}, jobs, comp}
  end
  local function leased_by_id(comp, place)
    return leased(comp, redis.call('HMGET', P .. 'comp:' .. comp, unpack(fields)), place)
  end
  local function is_short(last) return last[4] == '0' and (tonumber(last[6] or '') or math.huge) <= tonumber(short_s) end
  if not is_lane(wanted) then return leased_by_id(wanted, 0) end
  local answer, further = nil, {}
  local held = is_free and {} or held_in(wanted, owner, nonce)
  for i, comp in ipairs(held) do
    local one = leased_by_id(comp, i - 1)
    if i == 1 then answer = one else further[i - 1] = one end
  end
  if not answer then
    local comp, last = next_in(wanted, fields)
    if not comp then return {0, 'empty'} end
    answer = leased(comp, last, 0)
    while is_short(last) and #further < most - 1 and more_wait_than_children(wanted) do
      comp, last = next_in(wanted, fields)
      if not comp or not is_short(last) then break end
      further[#further + 1] = leased(comp, last, #further + 1)
    end
  end
  answer[6] = further
  return answer
end
