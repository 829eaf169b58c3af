-- Lists at most `limit` of a client's jobs, the newest first, in this state (empty: any), from behind the one that was
-- taken in at `time` and has this id. At most `most_looks` are looked at.
-- Answers {time and id of the last one looked at, both empty where no more follow, and for each job {id, its fields and
-- values, its computation's}}.
local client, state, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time, last, most_looks = ARGV[4], ARGV[5], tonumber(ARGV[6])
local key = P .. 'jobs_of:' .. client
local found, looks = {}, 0

local function add(job)
  local record = P .. 'job:' .. job
  local comp = redis.call('HGET', record, 'computation')
  local now = comp and redis.call('HGET', P .. 'comp:' .. comp, 'state')
  if not now then return end
  if redis.call('HGET', record, 'left') == '1' then now = 'cancelled' end
  if state ~= '' and state ~= now then return end
  found[#found + 1] = {job, redis.call('HGETALL', record), redis.call('HGETALL', P .. 'comp:' .. comp)}
end

sweep()
local seen_at, seen = '', ''
for offset = 0, most_looks + MOST_JOBS, 100 do
  local page = redis.call('ZREVRANGEBYSCORE', key, time, '-inf', 'WITHSCORES', 'LIMIT', offset, 100)
  for i = 1, #page, 2 do
    local job, taken_in_at = page[i], string.format('%.6f', tonumber(page[i + 1]))  -- a score may have an exponent
    if taken_in_at ~= time or job < last then  -- those of one time come by their ids, the last one first
      if #found == limit or looks == most_looks then return {seen_at, seen, found} end
      add(job)
      looks, seen_at, seen = looks + 1, taken_in_at, job
    end
  end
  if #page == 0 then break end
end
return {'', '', found}
