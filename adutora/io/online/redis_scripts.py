"""Lua scripts: what Redis does at once. A script runs alone, and reaches replicas and the log as a whole.

Beside the hashes, a prefix has (`@` is in no prefix, so none of these names can be a user's):

- `@adutora:lock:<prefix>`, who publishes now; a string that expires unless renewed
- `@adutora:state:<prefix>`, a hash: `generation`, the number of the latest publication
- `@adutora:sets:<prefix>`, the sets (see `base`) that have keys
- `@adutora:index:<set>`, a hash from each key of ours (without its set) to the generation that wrote it last;
  some 70 bytes a key, so that what vanished is found without a scan of the server, and nobody else's key
  under a longer or the same prefix is ever deleted
- `<prefix>@current`, the pointer of visibility set

Every script that writes is given its generation and refuses if a later publication has begun: a process that
slept through the end of its lease cannot write over its successor.
"""

_FENCE = """
if redis.call('HGET', KEYS[2], 'generation') ~= ARGV[1] then
  return redis.error_reply('FENCED a later publication has begun')
end
local call = redis.call
"""

# Takes the lock if it is free or ours already (an answer may have been lost). Returns its holder.
LOCK = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""

UNLOCK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

# KEYS: lock, state, sets. ARGV: token, prefix, visibility. Returns the generation and the set.
BEGIN = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('FENCED the lease has run out') end
local generation = redis.call('HINCRBY', KEYS[2], 'generation', 1)
local set = ARGV[2]
if ARGV[3] == 'set' then set = set .. '@' .. string.format('%d', generation) end
redis.call('SADD', KEYS[3], set)
return {generation, set}
"""

# KEYS: index, state, then the hashes. ARGV: generation, TTL in ms or 0, length of what stands before a key,
# then for each hash its number of fields, and names and values. Returns keys written, unchanged and empty.
# A hash that changes is deleted and written within this script: nobody sees the moment between. The index
# is written even if a key is refused, so that it knows every hash that was written. Redis looks at `maxmemory`
# only at a script's first write, and never at DEL: so the first is one that changes nothing.
WRITE = (
    _FENCE
    + """
call('HSET', KEYS[2], 'generation', ARGV[1])
local sub = string.sub
local ttl, before, at = tonumber(ARGV[2]), tonumber(ARGV[3]) + 1, 4
local written, unchanged, empty, seen, failure = 0, 0, 0, {}, nil
local function same(old, first, last)
  if #old ~= last - first + 1 then return false end
  local place = 1
  while old[place] and old[place] == ARGV[first + place - 1] do place = place + 1 end
  if place > #old then return true end
  local fields = {}
  for j = 1, #old, 2 do fields[old[j]] = old[j + 1] end
  for j = first, last, 2 do
    if fields[ARGV[j]] ~= ARGV[j + 1] then return false end
  end
  return true
end
for i = 3, #KEYS do
  local key, first = KEYS[i], at + 1
  local last = at + 2 * tonumber(ARGV[at])
  at = last + 1
  local old = redis.pcall('HGETALL', key)
  if old.err then
    failure = old.err .. ' key ' .. key
    break
  end
  if last < first then
    if #old > 0 then call('UNLINK', key) end
    call('HDEL', KEYS[1], sub(key, before))
    empty = empty + 1
  else
    local kept = same(old, first, last)
    if kept then
      unchanged = unchanged + 1
    else
      if #old > 0 then call('DEL', key) end
      call('HSET', key, unpack(ARGV, first, last))
      written = written + 1
    end
    if ttl > 0 then
      call('PEXPIRE', key, ttl)
    elseif kept then
      call('PERSIST', key)
    end
    seen[#seen + 1] = sub(key, before)
    seen[#seen + 1] = ARGV[1]
  end
end
if #seen > 0 then call('HSET', KEYS[1], unpack(seen)) end
if failure then return redis.error_reply(failure) end
return {written, unchanged, empty}
"""
)

# KEYS: index, state. ARGV: generation, set, cursor, count. Deletes keys of earlier generations.
SWEEP = (
    _FENCE
    + """
local reply, deleted = call('HSCAN', KEYS[1], ARGV[3], 'COUNT', ARGV[4]), 0
for i = 1, #reply[2], 2 do
  if reply[2][i + 1] ~= ARGV[1] then
    deleted = deleted + call('UNLINK', ARGV[2] .. ':' .. reply[2][i])
    call('HDEL', KEYS[1], reply[2][i])
  end
end
return {reply[1], deleted}
"""
)

# KEYS: index, state. ARGV: as in SWEEP. Forgets keys whose TTL has passed.
PRUNE = (
    _FENCE
    + """
local reply, forgotten = call('HSCAN', KEYS[1], ARGV[3], 'COUNT', ARGV[4]), 0
for i = 1, #reply[2], 2 do
  if call('EXISTS', ARGV[2] .. ':' .. reply[2][i]) == 0 then
    forgotten = forgotten + call('HDEL', KEYS[1], reply[2][i])
  end
end
call('HSET', KEYS[2], 'pruned', reply[1])
return {reply[1], forgotten}
"""
)

# KEYS: index of the old set, state, index of the new set, sets. ARGV: generation, old set, cursor, count,
# grace in ms. Lets the old set's keys expire; those that the new set lacks are counted as deleted.
RETIRE = (
    _FENCE
    + """
local reply, deleted, grace = call('HSCAN', KEYS[1], ARGV[3], 'COUNT', ARGV[4]), 0, tonumber(ARGV[5])
for i = 1, #reply[2], 2 do
  local key, left = ARGV[2] .. ':' .. reply[2][i], nil
  left = call('PTTL', key)
  if left ~= -2 and call('HEXISTS', KEYS[3], reply[2][i]) == 0 then deleted = deleted + 1 end
  if left == -1 or left > grace then call('PEXPIRE', key, grace) end
  call('HDEL', KEYS[1], reply[2][i])
end
if call('EXISTS', KEYS[1]) == 0 then call('SREM', KEYS[4], ARGV[2]) end
return {reply[1], deleted}
"""
)

# KEYS: pointer, state. ARGV: generation, set or nothing. Shows readers the set.
POINT = (
    _FENCE
    + """
if ARGV[2] == '' then return call('DEL', KEYS[1]) end
call('SET', KEYS[1], ARGV[2])
return 1
"""
)

ALL = {
    "lock": LOCK,
    "unlock": UNLOCK,
    "begin": BEGIN,
    "write": WRITE,
    "sweep": SWEEP,
    "prune": PRUNE,
    "retire": RETIRE,
    "point": POINT,
}
