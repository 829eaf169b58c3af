-- Reads the lanes, the workers and the bytes held, after a sweep. A lane's `work_s` is what is estimated to be left of
-- all that runs and of all that is queued in it, `running_s` of the former alone; a client is one that waits there.
-- Answers {active, children alive, bytes, end of the first hold, now, a lane, the next, where `asked_comp` stands}: a
-- lane as {name, queued, running, oldest created_at, work_s, running_s, children, clients}, where a queued computation
-- stands as {lane, its place, work_s before it and of it}, that of any other as {lane, 0, 0}.
local heartbeat_ttl_s, asked_comp = tonumber(ARGV[1]), ARGV[2]
sweep()
local function seconds(number) return string.format('%.6f', number) end
local lanes = {}
for _, name in ipairs({'express', 'bulk'}) do
  local clients = redis.call('ZCARD', P .. 'round:' .. name)
  lanes[name] = {queued = 0, running = 0, oldest = '', work_s = 0, running_s = 0, children = 0, clients = clients}
end

for _, comp in ipairs(redis.call('ZRANGE', P .. 'running', 0, -1)) do
  local lane = lanes[holder_of(comp)]
  local record = redis.call('HMGET', P .. 'comp:' .. comp, 'estimate_s', 'done', 'total')
  local total = tonumber(record[3] or '0') or 0
  local share = total > 0 and 1 - tonumber(record[2]) / total or 1
  lane.running = lane.running + 1
  lane.running_s = lane.running_s + (tonumber(record[1] or '0') or 0) * share
end
for _, comp in ipairs(redis.call('ZRANGE', P .. 'queued', 0, -1)) do
  local lane = lanes[holder_of(comp)]
  lane.queued = lane.queued + 1
  lane.work_s = lane.work_s + (tonumber(redis.call('HGET', P .. 'comp:' .. comp, 'estimate_s') or '0') or 0)
  if lane.oldest == '' then lane.oldest = redis.call('ZSCORE', P .. 'queued', comp) end
end
local alive = redis.call('ZRANGEBYSCORE', P .. 'alive', NOW - heartbeat_ttl_s, '+inf')
for _, child in ipairs(alive) do
  local lane = lanes[redis.call('HGET', P .. 'child_lanes', child) or 'bulk'] or lanes.bulk
  lane.children = lane.children + 1
end

local function facts_of(name)
  local lane = lanes[name]
  return {
    name, lane.queued, lane.running, lane.oldest, seconds(lane.work_s + lane.running_s), seconds(lane.running_s),
    lane.children, lane.clients
  }
end
local lane = holder_of(asked_comp)
local position, ahead_s = standing_of(asked_comp)
local first_hold = redis.call('ZRANGE', P .. 'blobs', 0, 0, 'WITHSCORES')
return {
  redis.call('ZCARD', P .. 'active'), #alive, redis.call('GET', P .. 'blob_bytes') or '0', first_hold[2] or '', STAMP,
  facts_of('express'), facts_of('bulk'), {lane, position, seconds(ahead_s)}
}
