-- Requests from a file (method and path, headers, perhaps a body; separated by tabs); prints one line of JSON at the end.
-- `{number}` in a header is replaced by the number of the request.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  requests, panels, fresh = {}, {}, {}
  in_turn, place = args[2] == "turn", 0
  for line in io.lines(args[1]) do
    local method, path, body, headers = nil, nil, nil, {}
    for part in line:gmatch("[^\t]+") do
      if not path then
        method, path = part:match("^(%u+) (.*)$")
      else
        local name, value = part:match("^(.-): (.*)$")
        if name == "body" then
          body = value
        else
          headers[name] = value
        end
      end
    end
    table.insert(requests, wrk.format(method, path, headers, body))
  end
  for name in (args[3] or ""):gmatch("[^,]+") do
    table.insert(panels, { name = name, text = '"' .. name .. '":{"status":"fresh"' })
    fresh[name] = 0
  end
  counted = ""
  if #panels > 0 then
    response = count
  end
  math.randomseed(os.time())
end

local sent = 0

local function numbered(text)
  local before, after = text:find("{number}", 1, true)
  if not before then
    return text
  end
  sent = sent + 1
  return text:sub(1, before - 1) .. sent .. text:sub(after + 1)
end

function request()
  if in_turn then
    place = place % #requests + 1
    return numbered(requests[place])
  end
  return numbered(requests[math.random(#requests)])
end

function count(status, headers, body)
  for _, panel in ipairs(panels) do
    if body:find(panel.text, 1, true) then
      fresh[panel.name] = fresh[panel.name] + 1
    end
  end
  local parts = {}
  for name, number in pairs(fresh) do
    table.insert(parts, string.format('"%s":%d', name, number))
  end
  counted = table.concat(parts, ",")
end

function done(summary, latency)
  local errors = summary.errors
  local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format(
    '{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"longest":%f,"failures":%d,"refused":%d,"fresh":{%s}}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    latency.max / 1000, failures, errors.status, threads[1]:get("counted") or ""))
end
