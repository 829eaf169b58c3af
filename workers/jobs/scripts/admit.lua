-- comp, bytes, queue_size, store_bytes, hold_s, heartbeat_ttl, evict_delivered -> reason, 'ok', or 'again'
sweep()
local comp, size = ARGV[1], tonumber(ARGV[2])
if redis.call('ZSCORE', P .. 'active', comp) then return 'ok' end  -- it was admitted, only the answer was lost
if redis.call('ZCOUNT', P .. 'alive', NOW - tonumber(ARGV[6]), '+inf') == 0
    and redis.call('ZCOUNT', P .. 'returning', NOW, '+inf') == 0 then return 'no_worker' end
if redis.call('ZCARD', P .. 'active') >= tonumber(ARGV[3]) then return 'queue_full' end
local stored = tonumber(redis.call('GET', P .. 'blob_bytes') or '0')
local lacking = stored + size - tonumber(ARGV[4])
if lacking > 0 then
  local made = ARGV[7] == '1' and make_room(lacking) or 'store_full'
  if made ~= 'ok' then return made end
end
redis.call('ZADD', P .. 'active', NOW + tonumber(ARGV[5]), comp)
hold(comp, size, NOW + tonumber(ARGV[5]))
return 'ok'
