-- The balance as posted, what its API keys have spent, and the end of the holds that the posting makes superfluous.
-- KEYS  6… hashes of API keys that have budgets
-- ARGV  1 version, 2 balance in nano-dollars, 3 JSON: per KEYS[6…] a list of field, value, …
--       4 era in which PostgreSQL said so, '' for a change on its way; then request ids
-- An older balance is not taken, but its holds go: the newer balance has those charges too.
local have = redis.call('HGET', KEYS[1], 'balance_version')
if not have or tonumber(have) < tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[1], 'balance_version', ARGV[1], 'balance', ARGV[2])
end
if ARGV[4] ~= '' and (not have or tonumber(have) <= tonumber(ARGV[1])) then
    redis.call('HSET', KEYS[1], 'balance_era', ARGV[4])
end
for i, fields in ipairs(cjson.decode(ARGV[3])) do
    local key = redis.call('HMGET', KEYS[5 + i], 'spent_version', 'era')
    -- Where nothing is known, only what PostgreSQL says now is: a change on its way may be the older one.
    local taken = key[1] and tonumber(key[1]) < tonumber(ARGV[1])
    if not key[1] then taken = ARGV[4] ~= '' and key[2] == ARGV[4] end
    if taken then redis.call('HSET', KEYS[5 + i], 'spent_version', ARGV[1], unpack(fields)) end
end
for i = 5, #ARGV do
    local hold = redis.call('HGET', KEYS[3], ARGV[i])
    if hold then gone(ARGV[i], hold) end
end
return 1
