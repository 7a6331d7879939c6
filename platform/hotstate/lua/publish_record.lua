-- A key's or an organization's record, unless a newer one is there: a late write can't bring back an old state.
-- KEYS  1 the record's hash
-- ARGV  1 version
--       2 era in which PostgreSQL said so, '' for a change on its way: a newer one may have been lost with another era
--       3 token, '' for an API key. An organization's era is set by confirm.lua, where the token that this gives is there still
--       4… field, value, …
local have = redis.call('HMGET', KEYS[1], 'version', 'era')
if have[1] and tonumber(have[1]) > tonumber(ARGV[1]) then return '' end
-- Of one version there is one content. An older program may have left a part of it out: what gateways take back.
local whole = redis.call('HEXISTS', KEYS[1], 'record') == 1
if not have[1] or tonumber(have[1]) < tonumber(ARGV[1]) or not whole then
    redis.call('HSET', KEYS[1], 'version', ARGV[1], unpack(ARGV, 4))
    -- A budget may be new or different: what was spent is loaded again.
    redis.call('HDEL', KEYS[1], 'spent_version')
end
if ARGV[2] == '' or have[2] == ARGV[2] then return '' end
if ARGV[3] == '' then
    redis.call('HSET', KEYS[1], 'era', ARGV[2])
    redis.call('HDEL', KEYS[1], 'spent_version')
    return ''
end
redis.call('HSETNX', KEYS[1], 'loading', ARGV[3])
return redis.call('HGET', KEYS[1], 'loading')
