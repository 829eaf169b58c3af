-- Lanes and shares: who waits where, whose turn it is, and how much of queue and store each client holds.
--
-- Deficit round robin over the clients of a lane, counted in estimated seconds instead of rounds: a client's account is
-- the work that it was given in the lane, by its share; the client furthest behind is next, with the job it has waited
-- for longest. Who comes anew begins where the lane stands (its clock), or at the account it left with if that is
-- further on: nobody gains by staying away for a moment, or by coming under a line that is already served.
--
-- A record without a lane or a client is of a version that knew neither: it waits in the bulk lane, for nobody.

local function is_lane(name) return name == 'express' or name == 'bulk' end

local function line_key(lane, client) return P .. 'line:' .. lane .. ':' .. client end

local function parted(holder)
  local lane, client = string.match(holder, '^(%S+) (.*)$')
  return is_lane(lane) and lane or 'bulk', client
end

-- Lane and client of computations, as this script has read or written them.
local holders = {}

-- The lane and the client of a computation from its admission to its removal; nobody's where that is not known.
local function holder_of(comp)
  holders[comp] = holders[comp] or redis.call('HGET', P .. 'holders', comp)
  if not holders[comp] then return 'bulk', '', true end
  return parted(holders[comp])
end

local function is_held_for(client, comp)
  local _, holder = holder_of(comp)
  return holder == client
end

-- A place in the lane, and one of the client's, until that time.
local function take_place(comp, lane, client, until_time)
  holders[comp] = lane .. ' ' .. client
  redis.call('HSET', P .. 'holders', comp, holders[comp])
  redis.call('ZADD', P .. 'active:' .. lane, until_time, comp)
  redis.call('ZADD', P .. 'held:' .. client, until_time, comp)
end

-- The same for as long as it waits and runs.
local function keep_place(comp)
  local lane, client = holder_of(comp)
  take_place(comp, lane, client, FOREVER)
end

local function free_place(comp)
  local lane, client = holder_of(comp)
  redis.call('ZREM', P .. 'active:' .. lane, comp)
  redis.call('ZREM', P .. 'held:' .. client, comp)
end

-- How many places are taken in a lane (key `active:LANE`) or by a client (key `held:CLIENT`).
local function places_taken(key) return redis.call('ZCOUNT', P .. key, '(' .. STAMP, '+inf') end

local function bytes_held(client) return tonumber(redis.call('HGET', P .. 'held_bytes', client) or '0') end

local function charge_bytes(comp, bytes)
  local _, client, is_nobodys = holder_of(comp)
  if is_nobodys then return end
  if redis.call('HINCRBY', P .. 'held_bytes', client, bytes) <= 0 then
    redis.call('HDEL', P .. 'held_bytes', client)
  end
end

-- Nothing of the computation counts for its client any more.
local function forget_holder(comp)
  free_place(comp)
  redis.call('HDEL', P .. 'holders', comp)
  holders[comp] = nil
end

local function clock_of(lane) return tonumber(redis.call('HGET', P .. 'clocks', lane) or '0') end

local function advance_clock(lane, account)
  if account <= clock_of(lane) then return end
  redis.call('HSET', P .. 'clocks', lane, string.format('%.6f', account))
end

-- Estimated seconds of a computation, and the same by the share of its client, out of these fields of its record.
local function costs_by(estimate_s, share)
  local seconds = math.max(0.001, tonumber(estimate_s or '0') or 0)
  return seconds, seconds / math.max(0.001, tonumber(share or '1') or 1)
end

local function costs_of(comp) return costs_by(unpack(redis.call('HMGET', P .. 'comp:' .. comp, 'estimate_s', 'share'))) end

-- Into its client's line, by the time of its creation: what a worker gave back is older than what waits, and so first.
local function join_line(comp, created_at)
  local lane, client = holder_of(comp)
  redis.call('ZADD', line_key(lane, client), created_at, comp)
  if redis.call('ZSCORE', P .. 'round:' .. lane, client) then return end
  local left_at = tonumber(redis.call('ZSCORE', P .. 'rested:' .. lane, client) or '0')
  redis.call('ZREM', P .. 'rested:' .. lane, client)
  redis.call('ZADD', P .. 'round:' .. lane, string.format('%.6f', math.max(left_at, clock_of(lane))), client)
end

-- A client without a job left in the lane leaves its round; where that was the last, all debts are settled. Who has
-- rested at an account that is behind the clock begins there when it comes back, as if never seen, and is forgotten.
local function leave_round(lane, client)
  local round, rested = P .. 'round:' .. lane, P .. 'rested:' .. lane
  if redis.call('EXISTS', line_key(lane, client)) == 1 then return end
  local account = redis.call('ZSCORE', round, client)
  if not account then return end
  redis.call('ZREM', round, client)
  redis.call('ZADD', rested, account, client)
  if redis.call('EXISTS', round) == 1 then
    redis.call('ZREMRANGEBYSCORE', rested, '-inf', clock_of(lane))
    return
  end
  advance_clock(lane, tonumber(redis.call('ZRANGE', rested, -1, -1, 'WITHSCORES')[2]))
  redis.call('UNLINK', rested)
end

local function leave_line(comp)
  local lane, client = holder_of(comp)
  redis.call('ZREM', line_key(lane, client), comp)
  leave_round(lane, client)
end

-- From the express lane into the bulk lane, with the seconds that are estimated of it now. Whoever had it take a turn in
-- the express lane has had that turn; one that waits is to join its line anew.
local function make_bulk(comp, estimate_s)
  local _, client = holder_of(comp)
  leave_line(comp)
  redis.call('ZREM', P .. 'active:express', comp)
  take_place(comp, 'bulk', client, FOREVER)
  local estimate = string.format('%.6f', estimate_s)
  redis.call('HSET', P .. 'comp:' .. comp, 'lane', 'bulk', 'estimate_s', estimate, 'sent_at', STAMP)
end

-- The computation whose turn it is in the lane, and these fields of its record, the first of which is its state; nil
-- where none waits.
local function next_in(lane, fields)
  local round = P .. 'round:' .. lane
  while true do
    local first = redis.call('ZRANGE', round, 0, 0, 'WITHSCORES')
    local client, account = first[1], tonumber(first[2])
    if not client then return nil end
    local comp = redis.call('ZRANGE', line_key(lane, client), 0, 0)[1]
    local record = comp and redis.call('HMGET', P .. 'comp:' .. comp, unpack(fields))
    if record and record[1] == 'queued' then
      advance_clock(lane, account)
      holders[comp] = lane .. ' ' .. client
      return comp, record
    end
    if comp then  -- it expired, or a version that knew no lines has taken it
      redis.call('ZREM', line_key(lane, client), comp)
    else
      redis.call('ZREM', round, client)
    end
  end
end

-- What this child holds of the lane: it asks for the next because the answer to its claim was lost. All that it holds by
-- this claim, or the one that it holds by another.
local function held_in(lane, owner, nonce)
  local held, other = {}, nil
  for _, comp in ipairs(redis.call('ZRANGE', P .. 'running', 0, -1)) do
    local record = redis.call('HMGET', P .. 'comp:' .. comp, 'state', 'owner', 'claim')
    if record[1] == 'running' and record[2] == owner and holder_of(comp) == lane then
      if record[3] == nonce then held[#held + 1] = comp else other = other or comp end
    end
  end
  return #held > 0 and held or {other}
end

-- It is given to a worker: its client's account bears what it costs.
local function take_turn(comp, cost)
  local lane, client = holder_of(comp)
  if redis.call('ZREM', line_key(lane, client), comp) == 1 then
    redis.call('ZINCRBY', P .. 'round:' .. lane, cost, client)
  end
  leave_round(lane, client)
end

-- A worker gave it back: its client's account bears it no more.
local function give_back_turn(comp, created_at)
  local lane, client = holder_of(comp)
  local _, cost = costs_of(comp)
  join_line(comp, created_at)
  local account = tonumber(redis.call('ZSCORE', P .. 'round:' .. lane, client))
  redis.call('ZADD', P .. 'round:' .. lane, string.format('%.6f', math.max(account - cost, clock_of(lane))), client)
end

-- The place of a queued computation in its lane (1: the next), and the estimated seconds of all that is given to a
-- worker before it and of itself; 0 and 0 where it waits in no line.
local function standing_of(comp)
  local lane, client = holder_of(comp)
  local round = P .. 'round:' .. lane
  local account = tonumber(redis.call('ZSCORE', round, client) or '')
  if not account or not redis.call('ZSCORE', line_key(lane, client), comp) then return 0, 0 end
  local position, work_s = 0, 0
  local function walk(line, is_before)
    for _, other in ipairs(redis.call('ZRANGE', line, 0, -1)) do
      if not is_before(other) then return end
      local estimate_s, cost = costs_of(other)
      position, work_s = position + 1, work_s + estimate_s
      account = account + cost
    end
  end
  walk(line_key(lane, client), function(other) return other ~= comp end)
  local turn = account
  local waiting = redis.call('ZRANGEBYSCORE', round, '-inf', turn, 'WITHSCORES')
  for i = 1, #waiting, 2 do
    local rival = waiting[i]
    account = tonumber(waiting[i + 1])
    if rival ~= client then
      walk(line_key(lane, rival), function() return account < turn or (account == turn and rival < client) end)
    end
  end
  return position + 1, work_s + costs_of(comp)
end
