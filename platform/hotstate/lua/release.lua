-- A request that will have no event: its open hold goes.
-- KEYS  organization, key, holds, leases      ARGV  1 request id
local hold = redis.call('HGET', KEYS[3], ARGV[1])
if not hold or string.sub(hold, 1, 5) ~= 'open:' then return 0 end
local amount = string.sub(hold, 6)
if amount ~= '0' then redis.call('HINCRBY', KEYS[1], 'held', '-' .. amount) end
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
return 1
