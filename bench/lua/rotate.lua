-- A new secret for a token. The new one is made from the old one, so that whoever asks twice within the grace gets the
-- same, and only hashes are kept. An old secret after its grace ends the session.
-- KEYS: the session (hash)
-- ARGV: id, secret, key of the server, grace in ms, idle timeout in ms
local s = redis.call('HMGET', KEYS[1], 'hash', 'generation', 'user', 'old_hash', 'old_until')
if not s[1] then return redis.error_reply('INVALID no such session') end
local hash = redis.sha1hex(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local generation = tonumber(s[2])
if hash == s[1] then
  generation = generation + 1
elseif hash ~= s[4] then
  return redis.error_reply('INVALID wrong secret')
elseif now >= tonumber(s[5]) then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', 'u:' .. s[3], ARGV[1])
  return redis.error_reply('REUSED an old secret; the session is ended')
end
-- Forty hexadecimal digits, and three more to be as long as other secrets.
local secret = 'sha' .. redis.sha1hex(ARGV[3] .. generation .. ARGV[2])
if hash == s[1] then
  redis.call('HSET', KEYS[1], 'hash', redis.sha1hex(secret), 'generation', generation, 'old_hash', hash,
    'old_until', now + ARGV[4])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return ARGV[1] .. '.' .. secret
