-- A key's or an organization's record, unless a newer one is there: a late write can't bring back an old state.
-- KEYS  1 the record's hash      ARGV  1 version; then field, value, …
local have = redis.call('HGET', KEYS[1], 'version')
if have and tonumber(have) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], unpack(ARGV, 2))
-- A budget may be new or different: what was spent is loaded again.
redis.call('HDEL', KEYS[1], 'spent_version')
return 1
