-- Ends a lease; the session is free again unless that was its last use.
-- KEYS: the session (hash), the pool's free sessions, the leased ones
-- ARGV: id, whether there is an order, whether the order is by use
if redis.call('ZREM', KEYS[3], ARGV[1]) == 0 then return redis.error_reply('CONFLICT there is no lease') end
local s = redis.call('HMGET', KEYS[1], 'usage', 'retired', 'max_usage', 'turn')
if s[1] and not s[2] and tonumber(s[1]) < tonumber(s[3]) then
  if ARGV[2] == '1' then
    redis.call('ZADD', KEYS[2], ARGV[3] == '1' and s[1] or s[4], ARGV[1])
  else
    redis.call('SADD', KEYS[2], ARGV[1])
  end
end
return 1
