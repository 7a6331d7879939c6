-- A request that will have no event: its open hold goes, and the tokens that it took come back.
-- ARGV  1 request id, 2 tokens estimated at admission, 3 milliseconds since admission
local hold = redis.call('HGET', KEYS[3], ARGV[1])
if not hold then return 0 end
local state, _, key = parse(hold)
if state ~= 'open' then return 0 end
gone(ARGV[1], hold)
correct_tokens(key, tonumber(ARGV[2]), 0, tonumber(ARGV[3]))
return 1
