-- A request that will have no event: its open hold goes, and the tokens that it took come back.
-- ARGV  1 request id, 2 milliseconds since admission
local hold = redis.call('HGET', KEYS[3], ARGV[1])
if not hold then return 0 end
local state, _, key, tail = parse(hold)
if state ~= 'open' then return 0 end
gone(ARGV[1], hold)
correct_tokens(key, tail, 0, tonumber(ARGV[2]))
return 1
