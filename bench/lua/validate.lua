-- Is the token right? Then the idle deadline starts again.
-- KEYS: the session (hash)
-- ARGV: secret, idle timeout in ms
local s = redis.call('HMGET', KEYS[1], 'hash', 'user', 'client', 'created_at', 'data', 'old_hash', 'old_until')
if not s[1] then return redis.error_reply('INVALID no such session') end
local hash = redis.sha1hex(ARGV[1])
if hash ~= s[1] then
  -- The secret before the last rotation is right until its grace is over.
  local now = redis.call('TIME')
  if hash ~= s[6] or now[1] * 1000 + math.floor(now[2] / 1000) >= tonumber(s[7]) then
    return redis.error_reply('INVALID wrong secret')
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { s[2], s[3], s[4], s[5] }
