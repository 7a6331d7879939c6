-- A request that will have no event: its open hold goes.
-- ARGV  1 request id
local hold = redis.call('HGET', KEYS[3], ARGV[1])
if not hold or parse(hold) ~= 'open' then return 0 end
gone(ARGV[1], hold)
return 1
