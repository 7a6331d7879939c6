-- An open hold becomes the exact charge and stays until the ledger has posted the event.
-- KEYS  organization, key, holds, leases      ARGV  1 request id, 2 charge in nano-dollars
-- A hold that is gone (posted already, or lapsed) stays gone: nothing would take it away again.
local hold = redis.call('HGET', KEYS[3], ARGV[1])
if not hold or string.sub(hold, 1, 5) ~= 'open:' then return 0 end
local amount = string.sub(hold, 6)
if amount ~= '0' then redis.call('HINCRBY', KEYS[1], 'held', '-' .. amount) end
redis.call('HINCRBY', KEYS[1], 'held', ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], 'settled:' .. ARGV[2])
redis.call('ZREM', KEYS[4], ARGV[1])
return 1
