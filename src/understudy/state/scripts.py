"""What the server does in one step, in Lua. `state.board` says the same in Python, with the rules.

Each script looks at one key and takes the time from the server. It writes only where something changes, so
that a beat without news costs the server a read. Instants are milliseconds: since the epoch in the values,
from now on in the arguments; empty for none.

A record's value is its fields joined by spaces, the schema first, ``-`` for an empty text.
"""

from __future__ import annotations

SCHEMA = "1"

_PRELUDE = """
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
"""

_RECORDS = (
    _PRELUDE
    + """
local NUMBERS = {'change', 'epoch', 'open', 'since', 'ends', 'drained', 'resets', 'bench', 'held'}
local TEXTS = {'forced', 'holder', 'act'}

local function read(member)
  local text = redis.call('HGET', key, 'm:' .. member)
  local record, parts = {is_new = true}, {}
  if text then
    for part in string.gmatch(text, '%S+') do parts[#parts + 1] = part end
    record.is_new = parts[1] ~= '1'
    if record.is_new then parts = {} end
  end
  for index, name in ipairs(NUMBERS) do record[name] = tonumber(parts[index + 1] or '0') end
  for index, name in ipairs(TEXTS) do record[name] = parts[index + 1 + #NUMBERS] or '-' end
  return record
end

local function body(record)
  local parts = {}
  for index = 2, #NUMBERS do parts[#parts + 1] = whole(record[NUMBERS[index]]) end
  for _, name in ipairs(TEXTS) do parts[#parts + 1] = record[name] end
  return table.concat(parts, ' ')
end

local function keep(member, record, before)
  local after = body(record)
  if after == before and not record.is_new then return end
  local change = math.max(tonumber(redis.call('HGET', key, 'change') or '0') + 1, now)
  redis.call('HSET', key, 'change', whole(change), 'm:' .. member, '1 ' .. whole(change) .. ' ' .. after)
end

local function drop_lease(record)
  record.held, record.holder = 0, '-'
end

local function begin(lasts)
  if redis.call('HEXISTS', key, 'born') == 0 then
    redis.call('HSET', key, 'born', time[1] .. '.' .. time[2])
  end
  if redis.call('PTTL', key) < lasts / 2 then redis.call('PEXPIRE', key, lasts) end
end
"""
)

EXCHANGE = (
    _RECORDS
    + """
local function instant(text)
  if text == '' then return 0 end
  return now + tonumber(text)
end

local function set_circuit(record, open, since, ends)
  record.open, record.since, record.ends = open, since, ends
end

local function is_longer(one, other)
  if one.open ~= other.open then return one.open > other.open end
  if one.ends ~= other.ends then return one.ends > other.ends end
  return one.since > other.since
end

local function join(record, news)
  if news.epoch > record.epoch then
    record.epoch, record.forced, record.drained = news.epoch, news.forced, news.drained
    set_circuit(record, news.open, news.since, news.ends)
    drop_lease(record)
  elseif news.epoch == record.epoch then
    if is_longer(news, record) then set_circuit(record, news.open, news.since, news.ends) end
    if news.forced > record.forced then record.forced = news.forced end
    record.drained = math.max(record.drained, news.drained)
  end
  if news.resets > record.resets then
    record.resets, record.bench = news.resets, news.bench
  elseif news.resets == record.resets then
    record.bench = math.max(record.bench, news.bench)
  end
end

local ACTIONS = {
  drain = function(record) record.drained = 1 end,
  enable = function(record) record.drained = 0 end,
  open = function(record) record.forced = 'open'; set_circuit(record, 1, now, now) end,
  close = function(record) record.forced = 'closed'; set_circuit(record, 0, 0, 0) end,
  reset = function(record)
    record.forced = '-'
    set_circuit(record, 0, 0, 0)
    record.resets, record.bench = record.resets + 1, 0
  end,
}

local function hear(from)
  local member, action, id, returned = ARGV[from], ARGV[from + 9], ARGV[from + 10], ARGV[from + 11]
  local news = {
    epoch = tonumber(ARGV[from + 1]), open = tonumber(ARGV[from + 2]), since = instant(ARGV[from + 3]),
    ends = instant(ARGV[from + 4]), forced = ARGV[from + 5], drained = tonumber(ARGV[from + 6]),
    resets = tonumber(ARGV[from + 7]), bench = instant(ARGV[from + 8]),
  }
  local record = read(member)
  local before = body(record)
  if action == '' or id == record.act or news.epoch > record.epoch + 1 then
    join(record, news)
  else
    record.epoch = record.epoch + 1
    ACTIONS[action](record)
    drop_lease(record)
  end
  if id ~= '' then record.act = id end
  if returned ~= '' and returned == record.holder then drop_lease(record) end
  keep(member, record, before)
end

local born, since, epoch, pin = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
begin(tonumber(ARGV[5]))
if ARGV[6] == '1' then redis.call('HSET', key, 'proof', whole(now)) end
for from = 7, #ARGV, 12 do hear(from) end

local kept = redis.call('HMGET', key, 'born', 'change', 'pin_epoch', 'pin')
local kept_epoch, kept_pin = tonumber(kept[3] or '0'), kept[4] or ''
if epoch > kept_epoch or (epoch == kept_epoch and pin > kept_pin) then
  redis.call('HSET', key, 'pin_epoch', whole(epoch), 'pin', pin)
  kept_epoch, kept_pin = epoch, pin
end
local change = tonumber(kept[2] or '0')
local answer = {whole(now), kept[1], whole(change), whole(kept_epoch), kept_pin}
if kept[1] == born and change == since then return answer end
local fields = redis.call('HGETALL', key)
for index = 1, #fields, 2 do
  if string.sub(fields[index], 1, 2) == 'm:' then
    local changed = tonumber(string.match(fields[index + 1], '^1 (%d+) ') or '0')
    if kept[1] ~= born or changed > since then
      answer[#answer + 1] = string.sub(fields[index], 3)
      answer[#answer + 1] = fields[index + 1]
    end
  end
end
return answer
"""
)

LEASE = (
    _RECORDS
    + """
local LEAST = 10
local member, holder, epoch, lasts = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
begin(tonumber(ARGV[5]))
local record = read(member)
local before = body(record)
if record.holder ~= '-' and record.holder ~= holder and now < record.held then
  return {0, whole(record.held - now)}
end
local is_behind = ARGV[6] ~= '' and record.epoch == epoch and record.ends > now + tonumber(ARGV[6]) + LEAST
if record.epoch > epoch or is_behind then return {0, '0'} end
record.holder, record.held = holder, now + lasts
keep(member, record, before)
return {1, '0'}
"""
)

_METER = (
    _PRELUDE
    + """
local MINUTE = 60000
local taken, seconds = {}, {}
local fields = redis.call('HGETALL', key)
for index = 1, #fields, 2 do
  local second = tonumber(fields[index])
  if now >= second * 1000 + 1000 + MINUTE then
    redis.call('HDEL', key, fields[index])
  else
    local tokens, requests = string.match(fields[index + 1], '^1 (%S+) (%S+)$')
    taken[second] = {tonumber(tokens or '0'), tonumber(requests or '0')}
    seconds[#seconds + 1] = second
  end
end
table.sort(seconds)

local function add(second, tokens, requests)
  local there = taken[second]
  if not there then
    there = {0, 0}
    seconds[#seconds + 1] = second
    table.sort(seconds)
  end
  there = {math.max(0, there[1] + tokens), math.max(0, there[2] + requests)}
  taken[second] = there
  redis.call('HSET', key, whole(second), '1 ' .. whole(there[1]) .. ' ' .. whole(there[2]))
  redis.call('PEXPIRE', key, MINUTE + 2000)
end
"""
)

RESERVE = (
    _METER
    + """
local function room_in(which, amount, limit)
  local surplus = amount - limit
  for _, second in ipairs(seconds) do surplus = surplus + taken[second][which] end
  local at = now
  for _, second in ipairs(seconds) do
    if surplus <= 0 then break end
    if taken[second][which] > 0 then
      surplus = surplus - taken[second][which]
      at = second * 1000 + 1000 + MINUTE
    end
  end
  return at - now
end

local this_second = math.floor(now / 1000)
local function reserve(tokens, tokens_limit, requests_limit)
  local ceilings = {{'rpm_limit', 2, 1, requests_limit}, {'tpm_limit', 1, tokens, tokens_limit}}
  for _, ceiling in ipairs(ceilings) do
    if ceiling[4] ~= '' then
      local waits = room_in(ceiling[2], ceiling[3], tonumber(ceiling[4]))
      if waits > 0 then return {0, ceiling[1], whole(waits), '0'} end
    end
  end
  add(this_second, tokens, 1)
  return {1, '', '0', whole(this_second)}
end

local answer = {}
for index = 1, #ARGV, 3 do
  answer[#answer + 1] = reserve(tonumber(ARGV[index]), ARGV[index + 1], ARGV[index + 2])
end
return answer
"""
)

SPEND = (
    _METER
    + """
for index = 1, #ARGV, 4 do
  local second = tonumber(ARGV[index + 3])
  if second == 0 then second = math.floor((now - tonumber(ARGV[index])) / 1000) end
  if now < second * 1000 + 1000 + MINUTE then
    add(second, tonumber(ARGV[index + 1]), tonumber(ARGV[index + 2]))
  end
end
return 1
"""
)

PUBLISH = (
    _PRELUDE
    + """
local ends = now + tonumber(ARGV[2])
local function forget_the_silent()
  local fields = redis.call('HGETALL', key)
  for index = 1, #fields, 2 do
    local last = tonumber(string.match(fields[index + 1], '^1 (%d+) ') or '0')
    if last <= now then redis.call('HDEL', key, fields[index]) end
  end
  redis.call('HSET', key, ':looked', whole(ends))
end

-- Once in the time that numbers last: if each looked at all, a thousand would take four seconds a second.
if now >= tonumber(redis.call('HGET', key, ':looked') or '0') then forget_the_silent() end
redis.call('HSET', key, ARGV[1], '1 ' .. whole(ends) .. ' ' .. ARGV[3])
redis.call('PEXPIRE', key, ARGV[2])
return 1
"""
)

NUMBERS = (
    _PRELUDE
    + """
local answer, fields = {}, redis.call('HGETALL', key)
for index = 1, #fields, 2 do
  local ends, numbers = string.match(fields[index + 1], '^1 (%d+) (.*)$')
  if ends and tonumber(ends) > now then
    answer[#answer + 1] = fields[index]
    answer[#answer + 1] = numbers
  end
end
return answer
"""
)
