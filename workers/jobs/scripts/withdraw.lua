-- Removes a job that was never sent without a trace, and its computation unless others have joined that. Answers 1.
local comp, job = ARGV[1], ARGV[2]
local record = redis.call('HMGET', P .. 'job:' .. job, 'client', 'idempotency_key')
if record[1] then unlist(record[1], job) end
if record[2] and redis.call('HGET', P .. 'key:' .. record[2], 'job') == job then
  redis.call('UNLINK', P .. 'key:' .. record[2])  -- another request may hold it by now
end
for _, name in ipairs({'job:', 'events:', 'gone:'}) do redis.call('UNLINK', P .. name .. job) end
redis.call('SREM', P .. 'comp:' .. comp .. ':jobs', job)
if redis.call('SCARD', P .. 'comp:' .. comp .. ':jobs') > 0 then return 1 end  -- its message is found missing, and sent
local facts = redis.call('HMGET', P .. 'comp:' .. comp, 'input_chunks', 'equal')
leave_queue(comp)
drop_input(comp, facts[1])
answer_equals(comp, facts[2], 0)
wake_equals(facts[2])
reserve(comp, 0, 0)
redis.call('UNLINK', P .. 'comp:' .. comp)
return 1
