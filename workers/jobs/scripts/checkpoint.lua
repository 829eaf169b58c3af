-- Keeps a piece of what an attempt has finished of its result, as number `index` (from 0) of those under `plan`; what was
-- kept as that number or a later one goes. It makes no room.
-- Answers 1; or 0 where it is not kept: the attempt is stale, nobody wants the result any more, or the piece before is gone;
-- or 2 where there is no room.
local comp, attempt, plan, index = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local piece, store_bytes = ARGV[5], tonumber(ARGV[6])
if not is_held_by(comp, attempt) or redis.call('HGET', P .. 'comp:' .. comp, 'cancel') == '1' then return 0 end
local key = P .. 'checkpoint:' .. comp
local length = redis.call('LLEN', key)  -- the plan, then its pieces
if index > 0 and (length <= index or redis.call('LINDEX', key, 0) ~= plan) then return 0 end
if tonumber(redis.call('GET', P .. 'blob_bytes') or '0') + #piece > store_bytes then return 2 end
local freed = 0
if index == 0 and length > 0 then freed = drop_checkpoint(comp) end
if index == 0 then redis.call('RPUSH', key, plan) end
while index > 0 and length > index + 1 do  -- a piece whose answer was lost
  freed = freed + #redis.call('RPOP', key)
  length = length - 1
end
redis.call('RPUSH', key, piece)
redis.call('EXPIRE', key, redis.call('TTL', P .. 'comp:' .. comp))
local kept = index > 0 and tonumber(redis.call('HGET', P .. 'checkpoints', comp)) or freed
redis.call('HSET', P .. 'checkpoints', comp, kept - freed + #piece)
reserve(comp, reserved_bytes(comp) - freed + #piece, FOREVER)
return 1
