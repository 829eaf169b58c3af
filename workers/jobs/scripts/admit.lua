-- Reserves a place in the queue and bytes for a computation that is about to be stored, where its lane and its client
-- have so many left; a client that holds nothing is refused no bytes by its share.
-- Equal requests find it from now on; `is_fresh`: also where there is another one that they would have joined.
-- Answers ok, no_worker, queue_full, lane_full, share_of_queue, share_of_store or store_full; again, where room is made
-- in more than one step; or equal, where an equal computation came first.
local comp, bytes, queue_size, store_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local hold_s, heartbeat_ttl_s, evict_delivered = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local lane, lane_places, client = ARGV[8], tonumber(ARGV[9]), ARGV[10]
local client_places, client_bytes = tonumber(ARGV[11]), tonumber(ARGV[12])
local equal, is_fresh = ARGV[13], ARGV[14] == '1'
sweep()
if redis.call('ZSCORE', P .. 'active', comp) then return 'ok' end  -- it was admitted, only the answer was lost
if not is_fresh and find_equal(equal) then return 'equal' end
if redis.call('ZCOUNT', P .. 'alive', NOW - heartbeat_ttl_s, '+inf') == 0
    and redis.call('ZCOUNT', P .. 'returning', NOW, '+inf') == 0 then return 'no_worker' end
if redis.call('ZCARD', P .. 'active') >= queue_size then return 'queue_full' end
if places_taken('active:' .. lane) >= lane_places then return 'lane_full' end
if places_taken('held:' .. client) >= client_places then return 'share_of_queue' end
local over = bytes_held(client) + bytes - client_bytes
if client_bytes < store_bytes and over > 0 and bytes_held(client) > 0 then
  local answer = make_room(over, evict_delivered, client)
  if answer ~= 'ok' then return answer == 'again' and answer or 'share_of_store' end
end
local lacking = tonumber(redis.call('GET', P .. 'blob_bytes') or '0') + bytes - store_bytes
if lacking > 0 then
  local answer = make_room(lacking, evict_delivered)
  if answer ~= 'ok' then return answer end
end
redis.call('ZADD', P .. 'active', NOW + hold_s, comp)
take_place(comp, lane, client, NOW + hold_s)
reserve(comp, bytes, NOW + hold_s)
redis.call('SET', P .. 'equal:' .. equal, comp, 'EX', hold_s)
return 'ok'
