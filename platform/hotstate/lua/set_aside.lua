-- Money for what is posted in a moment, a plan's fee say: from now on no request can have it.
-- ARGV  1 id   2 nano-dollars   3 end of its lease, Unix milliseconds   4 era
--       5 version of the balance as PostgreSQL has it, locked
-- Gives 1; 0 where there isn't so much; -1 where the organization isn't known to be of this era; -2 where Valkey's balance is an
-- older one. What is set aside counts for no limit; the posting takes it away, or else the end of its lease, uncounted.
local organization = redis.call('HMGET', KEYS[1], 'era', 'balance_era', 'balance', 'overdraft', 'held', 'balance_version')
if organization[1] ~= ARGV[4] or organization[2] ~= ARGV[4] then return -1 end
if organization[6] ~= ARGV[5] then return -2 end
if tonumber(ARGV[2]) > spendable(unpack(organization, 3, 5)) then return 0 end
held('aside', '', ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], 'aside:' .. ARGV[2] .. ':aside')
redis.call('ZADD', KEYS[4], ARGV[3], ARGV[1])
return 1
