-- The balance as posted, together with the holds that the posting makes superfluous.
-- KEYS  organization, key, holds, leases      ARGV  1 version, 2 balance in nano-dollars; then request ids
-- An older balance is not taken, but its holds go: the newer balance has those charges too.
local have = redis.call('HGET', KEYS[1], 'balance_version')
if not have or tonumber(have) < tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[1], 'balance_version', ARGV[1], 'balance', ARGV[2])
end
for i = 3, #ARGV do
    local hold = redis.call('HGET', KEYS[3], ARGV[i])
    if hold then
        local amount = string.match(hold, ':(%d+)$')
        -- '-0' is no integer to HINCRBY.
        if amount ~= '0' then redis.call('HINCRBY', KEYS[1], 'held', '-' .. amount) end
        redis.call('HDEL', KEYS[3], ARGV[i])
        redis.call('ZREM', KEYS[4], ARGV[i])
    end
end
return 1
