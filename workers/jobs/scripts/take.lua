-- Takes a request's cost out of the token buckets of a client, out of all of them or out of none. A bucket holds a
-- minute's worth and fills evenly. A cost beyond what it holds is taken from a full one, which owes the rest; a negative
-- one is given back. `id` names the request, for what was taken is not taken again where only the answer was lost.
-- After the named arguments come three for each bucket: its name, what a minute is worth, the cost.
-- Answers for each bucket {what is left of it, seconds until the cost can be taken, seconds until it is full}, as text.
local client, id = ARGV[1], ARGV[2]
local buckets, is_taken = {}, true
for i = 3, #ARGV, 3 do
  local key, size, cost = P .. 'rate:' .. client .. ':' .. ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local kept = redis.call('HMGET', key, 'left', 'at', 'id')
  if kept[3] == id then cost = 0 end
  local left, pace = tonumber(kept[1] or size), size / 60
  left = math.min(size, left + math.max(0, NOW - tonumber(kept[2] or NOW)) * pace)
  local wait_s = cost > 0 and math.max(0, math.min(cost, size) - left) / pace or 0
  if wait_s > 0 then is_taken = false end
  buckets[#buckets + 1] = {key = key, size = size, cost = cost, left = left, pace = pace, wait_s = wait_s}
end
local answer = {}
allow_writes_when_full()
for i, bucket in ipairs(buckets) do
  if is_taken then
    bucket.left = math.min(bucket.size, bucket.left - bucket.cost)
    redis.call('HSET', bucket.key, 'id', id)
  end
  local full_s = (bucket.size - bucket.left) / bucket.pace
  redis.call('HSET', bucket.key, 'left', string.format('%.6f', bucket.left), 'at', STAMP)
  redis.call('PEXPIRE', bucket.key, math.ceil(full_s * 1000) + 1)
  answer[i] = {string.format('%.6f', bucket.left), string.format('%.6f', bucket.wait_s), string.format('%.6f', full_s)}
end
return answer
