-- Reserves a place in the queue and bytes for a computation that is about to be stored.
-- Equal requests find it from now on; `is_fresh`: also where there is another one that they would have joined.
-- Answers ok, no_worker, queue_full or store_full; again, where room is made in more than one step; or equal, where an
-- equal computation came first.
local comp, bytes, queue_size, store_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local hold_s, heartbeat_ttl_s, evict_delivered = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local equal, is_fresh = ARGV[8], ARGV[9] == '1'
sweep()
if redis.call('ZSCORE', P .. 'active', comp) then return 'ok' end  -- it was admitted, only the answer was lost
if not is_fresh and find_equal(equal) then return 'equal' end
if redis.call('ZCOUNT', P .. 'alive', NOW - heartbeat_ttl_s, '+inf') == 0
    and redis.call('ZCOUNT', P .. 'returning', NOW, '+inf') == 0 then return 'no_worker' end
if redis.call('ZCARD', P .. 'active') >= queue_size then return 'queue_full' end
local lacking = tonumber(redis.call('GET', P .. 'blob_bytes') or '0') + bytes - store_bytes
if lacking > 0 then
  local answer = evict_delivered and make_room(lacking) or 'store_full'
  if answer ~= 'ok' then return answer end
end
redis.call('ZADD', P .. 'active', NOW + hold_s, comp)
reserve(comp, bytes, NOW + hold_s)
redis.call('SET', P .. 'equal:' .. equal, comp, 'EX', hold_s)
return 'ok'
