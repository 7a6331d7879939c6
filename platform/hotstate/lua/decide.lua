-- One decision, all or nothing: a refusal writes nothing.
-- KEYS  organization, key, holds, leases (one hash tag: the organization)
-- ARGV  1 now, Unix milliseconds        2 request id
--       3 version of the record that the caller judged
--       4 what the caller found ('' or a verdict that ranks after suspension and before the balance)
--       5 nano-dollars to hold, '' for a question only
--       6 lease, milliseconds
-- Gives {verdict, detail…}; 'missing' and 'stale' ask the caller to load the record and to come again.
local organization = redis.call('HMGET', KEYS[1], 'version', 'suspended', 'overdraft', 'balance', 'held')
local key = redis.call('HMGET', KEYS[2], 'version', 'revoked', 'expires', 'record')
if not organization[1] or not organization[4] or not key[1] then return {'missing'} end
if key[2] == '1' then return {'revoked'} end
if key[1] ~= ARGV[3] then return {'stale', key[4]} end
if key[3] ~= '' and tonumber(key[3]) <= tonumber(ARGV[1]) then return {'expired'} end
if organization[2] == '1' then return {'suspended'} end
if ARGV[4] ~= '' then return {ARGV[4]} end
if ARGV[5] == '' then return {'allowed'} end

local held = tonumber(organization[5] or '0')
local spendable = tonumber(organization[4]) + tonumber(organization[3]) - held
if redis.call('HEXISTS', KEYS[3], ARGV[2]) == 1 then return {'allowed'} end
local amount = tonumber(ARGV[5])
if amount > 0 and amount > spendable then return {'insufficient_balance'} end

redis.call('HSET', KEYS[3], ARGV[2], 'open:' .. ARGV[5])
redis.call('HINCRBY', KEYS[1], 'held', ARGV[5])
redis.call('ZADD', KEYS[4], tonumber(ARGV[1]) + tonumber(ARGV[6]), ARGV[2])
return {'allowed'}
