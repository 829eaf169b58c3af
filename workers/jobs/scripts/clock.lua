-- What every script begins with: the names of keys, and the clock.
local P = 'lutra:'
local FOREVER = 1e13
local BATCH = 1000  -- most computations that one script removes: nobody else is served while it runs
local time = redis.call('TIME')
local NOW = tonumber(time[1]) + tonumber(time[2]) / 1000000

local STAMP = string.format('%.6f', NOW)  -- as it stands in records

