-- The balance as posted, what its API keys have spent, and the end of the holds that the posting makes superfluous.
-- KEYS  6… hashes of API keys that have budgets
-- ARGV  1 version, 2 balance in nano-dollars, 3 JSON: per KEYS[6…] a list of field, value, …; then request ids
-- An older balance is not taken, but its holds go: the newer balance has those charges too.
local function newer(name, field)
    local have = redis.call('HGET', name, field)
    return not have or tonumber(have) < tonumber(ARGV[1])
end
if newer(KEYS[1], 'balance_version') then
    redis.call('HSET', KEYS[1], 'balance_version', ARGV[1], 'balance', ARGV[2])
end
for i, fields in ipairs(cjson.decode(ARGV[3])) do
    if newer(KEYS[5 + i], 'spent_version') then
        redis.call('HSET', KEYS[5 + i], 'spent_version', ARGV[1], unpack(fields))
    end
end
for i = 4, #ARGV do
    local hold = redis.call('HGET', KEYS[3], ARGV[i])
    if hold then gone(ARGV[i], hold) end
end
return 1
