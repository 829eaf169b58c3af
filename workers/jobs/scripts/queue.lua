-- heartbeat_ttl, comp or '' -> {queued, running, active, oldest_created_at, alive, bytes, work_s, room_at, now}
-- work_s: what is estimated to be left of all that runs and, up to `comp`, of all that is queued
sweep()
local function left_of(comp)
  local facts = redis.call('HMGET', P .. 'comp:' .. comp, 'estimate_s', 'done', 'total')
  local total = tonumber(facts[3] or '0') or 0
  local share = total > 0 and 1 - tonumber(facts[2]) / total or 1
  return (tonumber(facts[1] or '0') or 0) * share
end
local queued = redis.call('ZRANGE', P .. 'queued', 0, -1)
local work = 0
for _, comp in ipairs(redis.call('ZRANGE', P .. 'running', 0, -1)) do work = work + left_of(comp) end
for _, comp in ipairs(queued) do
  work = work + left_of(comp)
  if comp == ARGV[2] then break end
end
local oldest = redis.call('ZRANGE', P .. 'queued', 0, 0, 'WITHSCORES')
local room = redis.call('ZRANGE', P .. 'blobs', 0, 0, 'WITHSCORES')
return {
  #queued, redis.call('ZCARD', P .. 'running'), redis.call('ZCARD', P .. 'active'),
  oldest[2] or '', redis.call('ZCOUNT', P .. 'alive', NOW - tonumber(ARGV[1]), '+inf'),
  redis.call('GET', P .. 'blob_bytes') or '0', string.format('%.6f', work), room[2] or '', stamp()
}
