-- A user logs in: a session with a token, within the user's limit. All in one step.
-- KEYS: the session (hash), the user's sessions (sorted by when they began)
-- ARGV: id, secret, user, client, data, idle timeout in ms, sessions of a user at most
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.error_reply('EXISTS the id is taken')
end
local limit = tonumber(ARGV[7])
if redis.call('ZCARD', KEYS[2]) >= limit then
  -- Those that have expired leave the index now; then the oldest ones make room.
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if redis.call('EXISTS', 's:' .. id) == 0 then redis.call('ZREM', KEYS[2], id) end
  end
  while redis.call('ZCARD', KEYS[2]) >= limit do
    redis.call('DEL', 's:' .. redis.call('ZPOPMIN', KEYS[2])[1])
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'hash', redis.sha1hex(ARGV[2]), 'generation', 0, 'user', ARGV[3], 'client', ARGV[4],
  'created_at', now, 'data', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('ZADD', KEYS[2], now, ARGV[1])
return ARGV[1] .. '.' .. ARGV[2]
