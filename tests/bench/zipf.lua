-- The requests of a browser for addresses that are as popular as in real life: wrk ... -- ADDRESSES HEADERS.
-- ADDRESSES has one target a line, the most popular one first; HEADERS the lines of a head after the first one.
-- The popularity of the n-th is 1/n; every run draws the same requests in the same order.

local DRAWN = 200000
local requests, turn = {}, 0

local function lines_of(name)
  local lines = {}
  for line in io.lines(name) do lines[#lines + 1] = line end
  return lines
end

local function cumulated(count)
  local total, sums = 0, {}
  for rank = 1, count do
    total = total + 1 / rank
    sums[rank] = total
  end
  return total, sums
end

local function first_above(sums, wanted)
  local low, high = 1, #sums
  while low < high do
    local middle = math.floor((low + high) / 2)
    if sums[middle] < wanted then low = middle + 1 else high = middle end
  end
  return low
end

function init(arguments)
  local targets = lines_of(arguments[1])
  local tail = " HTTP/1.1\r\n" .. table.concat(lines_of(arguments[2]), "\r\n") .. "\r\n\r\n"
  local total, sums = cumulated(#targets)
  math.randomseed(1)
  for number = 1, DRAWN do
    requests[number] = "GET " .. targets[first_above(sums, math.random() * total)] .. tail
  end
end

function request()
  turn = turn % DRAWN + 1
  return requests[turn]
end

function done(summary)
  local errors = summary.errors
  local wrong = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, summary.bytes, summary.duration, wrong))
end
